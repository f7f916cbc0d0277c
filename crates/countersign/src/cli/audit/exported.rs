//! Rows as `audit export` printed them, read again.

use countersign_domain::{audit::chain::AuditRow, secret::Digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, de::IgnoredAny};

/// The members of a line. What follows from the event is not read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: i64,
    time: String,
    event: String,
    #[serde(rename = "log_code")]
    _log_code: IgnoredAny,
    user: Option<String>,
    client: Option<String>,
    authenticator: Option<String>,
    address: Option<String>,
    operator: Option<String>,
    detail: Option<String>,
    link: Option<String>,
}

/// The row of one line of JSON, without a seal.
///
/// # Errors
///
/// It is none.
pub(in crate::cli) fn row(text: &str) -> Result<AuditRow, String> {
    let read: Line = serde_json::from_str(text).map_err(|error| format!("it is no row of an export: {error}"))?;
    let digest = |hex: String| {
        let bytes = HEXLOWER.decode(hex.as_bytes()).ok()?;
        Some(Digest::new(bytes.try_into().ok()?))
    };
    let link = read.link.map(|hex| digest(hex).ok_or_else(|| "its link is none".to_owned())).transpose()?;
    Ok(AuditRow {
        id: read.id,
        at: super::time(&read.time)?,
        event: read.event,
        user: read.user.unwrap_or_default(),
        client: read.client,
        authenticator: read.authenticator,
        address: read.address,
        operator: read.operator,
        detail: read.detail,
        link,
        seal: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use countersign_domain::{
        audit::{AuditEvent, Event},
        id::{AuthenticatorId, ClientId, UserId},
        time::Timestamp,
    };

    use super::*;
    use crate::cli::audit::show::Columns as _;

    #[test]
    fn what_was_exported_is_read_as_it_was() {
        let full =
            AuditEvent::about(Event::OtpLogin, &UserId::new("auth0|ann"), Timestamp::from_millis(1_700_000_000_123))
                .by(&ClientId::new("web"))
                .on(&AuthenticatorId::new("totp|dev_1"))
                .at_address("2001:db8::1".parse().ok())
                .because("a \"b\"\n");
        let empty = AuditEvent::of_deployment(Event::TrailStarted, Timestamp::from_millis(0));
        for event in [full, empty] {
            let row_ = AuditRow { link: Some(Digest::new([7; 32])), ..AuditRow::unlinked(9, &event) };
            assert_eq!(row(&row_.json()), Ok(row_));
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for line in ["", "{}", "[]", r#"{"id":1}"#, "id,time,event"] {
            assert!(row(line).is_err(), "{line}");
        }
        let good =
            AuditRow::unlinked(1, &AuditEvent::of_deployment(Event::TrailStarted, Timestamp::from_millis(0))).json();
        for (from, to) in [("\"link\":null", "\"link\":\"00\""), ("1970-", "x"), ("\"link\"", "\"chain\"")] {
            assert!(row(&good.replace(from, to)).is_err(), "{from}");
        }
    }
}
