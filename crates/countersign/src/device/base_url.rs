//! Where a device API is.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::cli::exit::Failure;

/// The base of a device API, without a slash at its end. What follows it is said where it is asked.
///
/// It is kept as the server wrote it, because the tokens of answers name their receiver by this text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Reads it. Tokens travel over TLS, or not at all over the network.
    ///
    /// # Errors
    ///
    /// It is no URL, or one that is not encrypted and not of this machine.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refused = |why: &str| Failure::Data(format!("The server's URL cannot be used: {why}"));
        let text = text.trim_end_matches('/');
        let url = Url::parse(text).map_err(|_| refused("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it must be a scheme, a host and a path"));
        }
        match url.scheme() {
            "https" => Ok(Self(text.to_owned())),
            "http" if url.host_str().is_some_and(is_near) => Ok(Self(text.to_owned())),
            _ => Err(refused("it must begin with https://, or with http:// and an address of this machine")),
        }
    }

    /// Where something of the API is; `path` begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether it is encrypted and of this machine, as a demo is.
    pub fn may_be_a_demo(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some_and(is_near))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        Self::parse(&text)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `host` is this machine. An address of IPv6 stands in brackets.
fn is_near(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_are_encrypted_or_near() {
        for good in ["https://a.example/appliance-mfa", "http://localhost:1/x", "http://127.0.0.1", "http://[::1]:8/x/"]
        {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://localhost.example",
            "ftp://localhost",
            "https://u:p@a.example",
            "https://a.example/?a",
            "a.example",
            "",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        let base = BaseUrl::parse("https://localhost:8443/appliance-mfa/").unwrap();
        assert_eq!(base.at("/api/enroll"), "https://localhost:8443/appliance-mfa/api/enroll");
        assert!(base.may_be_a_demo());
        assert!(!BaseUrl::parse("https://a.example").unwrap().may_be_a_demo());
    }
}
