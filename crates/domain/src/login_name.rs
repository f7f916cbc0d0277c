//! One spelling for one account: the canonical form of a username or an address.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// The longest login name, in characters: an e-mail address's 64 + 1 + 255 (RFC 5321, section 4.5.3.1).
pub const MAX_CHARS: usize = 320;

/// The canonical form of what a person types to name their account.
///
/// It is made once, at the edge, before anything else looks at the input. Throttles, look-ups and uniqueness all use it, so
/// that no spelling has a budget or an account of its own. Usernames and addresses that people log in with share the space: such an
/// address cannot be another account's username. An address that a client passed on with a login names nobody.
///
/// The form is: blanks around it removed, compatibility-normalised (NFKC), lower-cased, normalised again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginName(String);

impl LoginName {
    /// The canonical form of `typed`.
    ///
    /// # Errors
    ///
    /// [`BadLoginName`] if nothing is left, it is longer than [`MAX_CHARS`], or it has a control character.
    pub fn parse(typed: &str) -> Result<Self, BadLoginName> {
        if typed.chars().count() > MAX_CHARS {
            return Err(BadLoginName);
        }
        let lowered: String = typed.nfkc().flat_map(char::to_lowercase).collect();
        let folded: String = lowered.nfkc().collect();
        let trimmed = folded.trim();
        if trimmed.is_empty() || trimmed.chars().any(char::is_control) {
            return Err(BadLoginName);
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot name an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a login name has 1 to {MAX_CHARS} characters, none of them a control character")]
pub struct BadLoginName;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        let name = LoginName::parse("jos\u{e9}@example.com").unwrap();
        for spelling in [" JOSE\u{301}@Example.COM ", "\u{ff4a}os\u{e9}@example.com", "jose\u{301}@example.com\u{3000}"]
        {
            assert_eq!(LoginName::parse(spelling).unwrap(), name, "{spelling:?}");
        }
    }

    #[test]
    fn refuses_what_names_nobody() {
        for typed in ["", "   ", "\u{3000}", "a\0b", "a\nb", &"x".repeat(321)] {
            assert!(LoginName::parse(typed).is_err(), "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(typed in "\\PC{1,40}") {
            if let Ok(once) = LoginName::parse(&typed) {
                prop_assert_eq!(LoginName::parse(once.as_str()).unwrap(), once);
            }
        }
    }
}
