//! Times in JWTs that others make (RFC 7519, section 2): seconds from 1970 on, with or without a fraction.
//!
//! Guardian's SDK for iOS writes fractions, and so do libraries whose language counts time in them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Whole seconds, rounded down.
///
/// # Errors
///
/// No number, or none from then to the end of time.
pub(crate) fn numeric_date<'de, D: Deserializer<'de>>(date: D) -> Result<i64, D::Error> {
    let since = Duration::try_from_secs_f64(f64::deserialize(date)?).map_err(D::Error::custom)?;
    i64::try_from(since.as_secs()).map_err(D::Error::custom)
}

/// The same of a claim that may be absent. Null is absent.
///
/// # Errors
///
/// As [`numeric_date`].
pub(crate) fn optional_date<'de, D: Deserializer<'de>>(date: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Date(#[serde(deserialize_with = "numeric_date")] i64);
    Option::<Date>::deserialize(date).map(|date| date.map(|Date(seconds)| seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_number_of_seconds_with_or_without_a_fraction() {
        let read = |json: &str| numeric_date(&mut serde_json::Deserializer::from_str(json)).ok();
        for (json, expected) in [
            ("1764429662", Some(1_764_429_662)),
            ("1764429662.0", Some(1_764_429_662)),
            ("1764429662.9994", Some(1_764_429_662)),
            ("1.764429662e9", Some(1_764_429_662)),
            ("0", Some(0)),
            ("-1", None),
            ("1e99", None),
            ("1e19", None),
            ("null", None),
            ("true", None),
            ("\"1764429662\"", None),
            ("[1764429662]", None),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[test]
    fn a_date_may_be_absent() {
        let read = |json: &str| optional_date(&mut serde_json::Deserializer::from_str(json)).ok();
        assert_eq!(read("null"), Some(None));
        assert_eq!(read("1764429662.5"), Some(Some(1_764_429_662)));
        assert_eq!(read("\"1\""), None);
    }
}
