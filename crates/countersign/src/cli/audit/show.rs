//! Rows as text.

use std::fmt::Write as _;

use countersign_domain::audit::{Event, chain::AuditRow};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

const NAMES: [&str; 11] =
    ["id", "time", "event", "log_code", "user", "client", "authenticator", "address", "operator", "detail", "link"];

/// The line of names of a CSV file.
pub(super) fn names() -> String {
    NAMES.join(",")
}

/// The forms of a row.
pub(in crate::cli) trait Columns {
    /// For people: what is there, separated by blanks, without the link.
    fn line(&self) -> String;
    /// A JSON object; what is not there is null.
    fn json(&self) -> String;
    /// Comma-separated values (RFC 4180).
    fn csv(&self) -> String;
}

impl Columns for AuditRow {
    fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.id, self.at.to_rfc3339(), printable(&self.event));
        for (name, value) in NAMES.iter().zip(columns(self)).take(10).skip(4) {
            if let Some(value) = value {
                // Only a key can make a row, but anybody with the file can change one.
                _ = write!(line, " {name}={}", printable(&value));
            }
        }
        line
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        for (name, value) in NAMES.iter().zip(columns(self)) {
            let value = match value {
                Some(_) if *name == "id" => Value::from(self.id),
                Some(value) => Value::from(value),
                None => Value::Null,
            };
            object.insert((*name).to_owned(), value);
        }
        Value::Object(object).to_string()
    }

    fn csv(&self) -> String {
        columns(self).map(|value| field(&value.unwrap_or_default())).join(",")
    }
}

fn columns(row: &AuditRow) -> [Option<String>; 11] {
    let code = Event::from_name(&row.event).map(Event::log_code).unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    [
        Some(row.id.to_string()),
        Some(row.at.to_rfc3339()),
        Some(row.event.clone()),
        given(code),
        given(&row.user),
        row.client.clone(),
        row.authenticator.clone(),
        row.address.clone(),
        row.operator.clone(),
        row.detail.clone(),
        row.link.map(|link| HEXLOWER.encode(link.as_bytes())),
    ]
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use countersign_domain::{audit::AuditEvent, id::UserId, time::Timestamp};

    use super::*;

    fn row() -> AuditRow {
        let event =
            AuditEvent::about(Event::OtpLogin, &UserId::new("auth0|ann"), Timestamp::from_millis(1_700_000_000_000))
                .because("a, \"b\"");
        AuditRow::unlinked(7, &event)
    }

    #[test]
    fn a_row_has_a_line_an_object_and_a_record() {
        assert_eq!(row().line(), "7 2023-11-14T22:13:20.000Z login.otp user=auth0|ann detail=a, \"b\"");
        assert_eq!(
            row().json(),
            r#"{"id":7,"time":"2023-11-14T22:13:20.000Z","event":"login.otp","log_code":"seotpft","user":"auth0|ann","client":null,"authenticator":null,"address":null,"operator":null,"detail":"a, \"b\"","link":null}"#
        );
        assert_eq!(row().csv(), r#"7,2023-11-14T22:13:20.000Z,login.otp,seotpft,auth0|ann,,,,,"a, ""b""","#);
    }

    #[test]
    fn the_document_lists_every_event() {
        let document = include_str!("../../../../../docs/audit.md");
        let mut table = String::new();
        for event in Event::ALL {
            let codes: Vec<_> = event.log_code().split_whitespace().map(|code| format!("`{code}`")).collect();
            _ = writeln!(table, "| `{}` | {} | {} |", event.as_str(), codes.join(" "), event.what().trim());
        }
        assert!(document.ends_with(&format!("|---|---|---|\n{table}")), "the table should be:\n{table}");
    }

    #[test]
    fn a_changed_row_writes_nothing_to_the_terminal_but_text() {
        let row = AuditRow { user: "\u{1b}[2J\nx".into(), ..row() };
        assert!(!row.line().contains(['\u{1b}', '\n']));
        assert!(!row.json().contains(['\u{1b}', '\n']));
    }
}
