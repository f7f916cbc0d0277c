//! Fields as members of a JSON object (RFC 8259).

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::{Chain, REQUEST_ID, is_struck_out};
use crate::never_log::REDACTED;

/// Writes `,"name":value` for each field. Names come from code and need no escaping beyond what [`escape`] does.
pub(super) struct JsonFields<'a, W> {
    writer: &'a mut W,
    result: fmt::Result,
    names_request: bool,
}

impl<'a, W: Write> JsonFields<'a, W> {
    pub(super) fn new(writer: &'a mut W) -> Self {
        Self { writer, result: Ok(()), names_request: false }
    }

    /// Whether the event named its request itself.
    pub(super) fn finish(self) -> Result<bool, fmt::Error> {
        self.result.map(|()| self.names_request)
    }

    fn member(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        self.names_request |= field.name() == REQUEST_ID;
        self.result = self.try_member(field, value);
    }

    fn try_member(&mut self, field: &Field, value: impl FnOnce(&mut W) -> fmt::Result) -> fmt::Result {
        self.writer.write_str(",\"")?;
        escape(self.writer, field.name())?;
        self.writer.write_str("\":")?;
        if is_struck_out(field) { text(self.writer, REDACTED) } else { value(self.writer) }
    }
}

impl<W: Write> Visit for JsonFields<'_, W> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities (RFC 8259, section 6).
        self.member(field, |w| if value.is_finite() { write!(w, "{value}") } else { w.write_str("null") });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |w| write!(w, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |w| write!(w, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |w| write!(w, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |w| text(w, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.member(field, |w| formatted(w, format_args!("{}", Chain(value))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |w| formatted(w, format_args!("{value:?}")));
    }
}

fn text<W: Write>(writer: &mut W, value: &str) -> fmt::Result {
    writer.write_char('"')?;
    escape(writer, value)?;
    writer.write_char('"')
}

fn formatted<W: Write>(writer: &mut W, value: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaping(writer).write_fmt(value)?;
    writer.write_char('"')
}

/// Escapes whatever is written through it.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text)
    }
}

/// Writes the inside of a JSON string (RFC 8259, section 7). Control characters beyond ASCII and U+2028 are escaped too:
/// a terminal or a line splitter may act on them.
pub(super) fn escape<W: Write>(writer: &mut W, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) =
        rest.find(|c: char| c == '"' || c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    {
        let (plain, special) = rest.split_at(at);
        writer.write_str(plain)?;
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => writer.write_str("\\\"")?,
            Some('\\') => writer.write_str("\\\\")?,
            Some('\n') => writer.write_str("\\n")?,
            // All of them lie in the basic plane, so four digits do.
            Some(control) => write!(writer, "\\u{:04x}", u32::from(control))?,
            None => {}
        }
        rest = chars.as_str();
    }
    writer.write_str(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back_as_it_was() {
        for text in
            ["plain", "a \"quoted\" \\ path", "two\nlines\r\t", "\u{1b}[31mred", "\u{85}\u{2028}", "grüße 🦀", ""]
        {
            let mut line = String::from("\"");
            escape(&mut line, text).unwrap();
            line.push('"');
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}
