//! Fields for eyes: the message as it is, the rest as `name=value`.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::{Chain, REQUEST_ID, is_struck_out};
use crate::never_log::REDACTED;

/// Writes ` message` and ` name=value` for each field.
pub(super) struct HumanFields<'a, W> {
    writer: &'a mut W,
    result: fmt::Result,
    names_request: bool,
}

impl<'a, W: Write> HumanFields<'a, W> {
    pub(super) fn new(writer: &'a mut W) -> Self {
        Self { writer, result: Ok(()), names_request: false }
    }

    /// Whether the event named its request itself.
    pub(super) fn finish(self) -> Result<bool, fmt::Error> {
        self.result.map(|()| self.names_request)
    }

    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_err() {
            return;
        }
        self.names_request |= field.name() == REQUEST_ID;
        self.result = self.try_field(field, value);
    }

    fn try_field(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        self.writer.write_char(' ')?;
        if field.name() != "message" {
            write!(self.writer, "{}=", field.name())?;
        }
        if is_struck_out(field) { self.writer.write_str(REDACTED) } else { OneLine(self.writer).write_fmt(value) }
    }
}

impl<W: Write> Visit for HumanFields<'_, W> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.field(field, format_args!("{}", Chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format_args!("{value:?}"));
    }
}

/// Escapes control characters: a value cannot begin a line of its own, nor speak to the terminal.
struct OneLine<'a, W>(&'a mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = special.chars();
            if let Some(control) = chars.next() {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}
