//! What a new password must be: long enough, and not what is tried first (NIST SP 800-63B-4, section 3.1.1.2).
//!
//! Nothing is asked of its characters, and it is compared as a whole: a word that is part of a long password does no harm. The list is that
//! of zxcvbn, what of it has at least [`SHORTEST`] characters; its licence lies beside it.

use std::{collections::HashSet, fmt, sync::LazyLock};

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::usecase::manage_users::MAX_PASSWORD_BYTES;

/// The shortest password any setting allows, in characters.
pub const SHORTEST: usize = 8;
/// The longest length that may be required: longer passwords must be possible, not needed.
pub const LONGEST_REQUIRED: usize = 64;
/// What passwords many people have, in lower case, one a line.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("password_rule/common.txt").lines().collect());

/// What is asked of new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRule {
    /// The fewest characters.
    pub min_length: usize,
    /// Whether those that are tried first are refused.
    pub refuses_common: bool,
}

/// What is wrong with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has fewer characters than this.
    Short(usize),
    /// It has more bytes than [`MAX_PASSWORD_BYTES`].
    Long,
    /// Many people have it, or it is a pattern.
    Common,
    /// It is made of the person's names or the service's.
    OfNames,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(least) => write!(f, "must have at least {least} characters"),
            Self::Long => write!(f, "must have at most {MAX_PASSWORD_BYTES} bytes"),
            Self::Common => f.write_str("must not be one that many people have, nor a pattern"),
            Self::OfNames => f.write_str("must not be made of the person's names or the service's"),
        }?;
        f.write_str(" (NIST SP 800-63B-4, section 3.1.1.2)")
    }
}

impl PasswordRule {
    /// Whether `password` will do for somebody with these `names`, at a service with these.
    ///
    /// # Errors
    ///
    /// What is wrong first.
    pub fn check(&self, password: &str, names: &[&str]) -> Result<(), Unfit> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(Unfit::Long);
        }
        // As it will be hashed: however a keyboard composes its accents.
        let typed: Zeroizing<Vec<char>> = Zeroizing::new(password.nfc().collect());
        if typed.len() < self.min_length {
            return Err(Unfit::Short(self.min_length));
        }
        if !self.refuses_common {
            return Ok(());
        }
        let lower: Zeroizing<Vec<char>> =
            Zeroizing::new(typed.iter().flat_map(|letter| letter.to_lowercase()).collect());
        if is_pattern(&lower) || is_common(&lower) {
            return Err(Unfit::Common);
        }
        if is_of_names(&lower, names) { Err(Unfit::OfNames) } else { Ok(()) }
    }
}

fn is_common(lower: &[char]) -> bool {
    let text: Zeroizing<String> = Zeroizing::new(lower.iter().collect());
    COMMON.contains(text.as_str())
}

/// Characters in a row, such as `23456789` and `zyxwvuts`.
fn is_row(lower: &[char]) -> bool {
    let steps = |by: i64| {
        let code = |letter: &char| i64::from(u32::from(*letter));
        lower.windows(2).all(|pair| matches!(pair, [one, next] if code(next) - code(one) == by))
    };
    steps(1) || steps(-1)
}

/// A row, or something short or common or a row again and again.
fn is_pattern(lower: &[char]) -> bool {
    let repeats = |unit: usize| {
        lower.len().is_multiple_of(unit) && lower.iter().zip(lower.iter().skip(unit)).all(|(one, again)| one == again)
    };
    let known = |unit: &[char]| unit.len() <= 4 || is_common(unit) || is_row(unit);
    let mut units = (1..=lower.len() / 2).filter(|unit| repeats(*unit)).filter_map(|unit| lower.get(..unit));
    is_row(lower) || units.any(known)
}

/// Whether nothing is left of it without `names`, forwards or backwards, and digits and punctuation around them.
fn is_of_names(lower: &[char], names: &[&str]) -> bool {
    let mut words: Vec<String> = names.iter().flat_map(|name| words_of(name)).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let letters = lower.iter().filter(|letter| letter.is_alphabetic());
    let is_made_of_words = |text: String| {
        let text = Zeroizing::new(text);
        let without = |rest: Zeroizing<String>, word: &String| Zeroizing::new(rest.replace(word.as_str(), ""));
        !text.is_empty() && words.iter().fold(text, without).is_empty()
    };
    is_made_of_words(letters.clone().collect()) || is_made_of_words(letters.rev().collect())
}

/// The letters of `name`, and of each of its words. What is very short is part of anything.
fn words_of(name: &str) -> Vec<String> {
    let lower: String = name.nfc().flat_map(char::to_lowercase).collect();
    let whole: String = lower.chars().filter(|letter| letter.is_alphabetic()).collect();
    let words = lower.split(|letter: char| !letter.is_alphabetic()).map(str::to_owned);
    words.chain([whole]).filter(|word| word.chars().count() >= 3).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: PasswordRule = PasswordRule { min_length: 8, refuses_common: true };
    const NAMES: [&str; 4] = ["ada.l", "ada.lovelace@example.com", "Ada Lovelace", "My Bank"];

    #[test]
    fn takes_what_is_long_enough_and_nobody_tries_first() {
        for password in [
            "correct horse battery staple",
            "nanosekunden f\u{fc}r alle 1906",
            "pass w\u{f6}rd of all",
            "qx7#rT2!",
            "\u{1f511}\u{1f40e}\u{1f50b}\u{1f4ce}\u{2713}\u{e9}\u{df}\u{6f22}",
            // Names and common words are no harm in a whole that is neither.
            "ada likes trains",
            "password of my bank and nobody else",
        ] {
            assert_eq!(RULE.check(password, &NAMES), Ok(()), "{password}");
        }
    }

    #[test]
    fn counts_characters_as_they_are_hashed_and_cuts_nothing() {
        let rule = PasswordRule { min_length: 15, ..RULE };
        for (password, verdict) in [
            ("", Err(Unfit::Short(15))),
            ("kj3 9dk mmz4 qw", Ok(())),
            ("kj3 9dk mmz4 q", Err(Unfit::Short(15))),
            // Fourteen characters, of which one is typed as two.
            ("kj3 9dk mmz4 e\u{301}", Err(Unfit::Short(15))),
        ] {
            assert_eq!(rule.check(password, &[]), verdict, "{password}");
        }
        assert_eq!(RULE.check(&"xyzzy ".repeat(200), &[]), Err(Unfit::Long));
        assert_eq!(RULE.check(&format!("{}q", "xyzzy plugh ".repeat(85)), &[]), Ok(()));
    }

    #[test]
    fn refuses_what_many_people_have_in_any_case() {
        for password in ["password", "PassWord1", "trustno1", "1qaz2wsx3edc4rfv", "IloveYou"] {
            assert_eq!(RULE.check(password, &[]), Err(Unfit::Common), "{password}");
        }
        let lax = PasswordRule { refuses_common: false, ..RULE };
        assert_eq!(lax.check("password", &["password"]), Ok(()));
    }

    #[test]
    fn refuses_rows_of_characters_and_repetitions() {
        for password in [
            "aaaaaaaaaaaaaaaa",
            "abcdefghijklmnop",
            "987654321098765432109876543210",
            "xq7!xq7!xq7!xq7!",
            "passwordpassword",
            "zyxwvutsrqponmlk",
        ] {
            assert_eq!(RULE.check(password, &[]), Err(Unfit::Common), "{password}");
        }
    }

    #[test]
    fn refuses_what_is_made_of_names() {
        for password in [
            "adalovelace",
            "Lovelace1815!",
            "2026-My-Bank",
            "ecalevol1815",
            "lovelacelovelace99",
            "ada+my+bank+2026",
            "example.com1",
        ] {
            assert_eq!(RULE.check(password, &NAMES), Err(Unfit::OfNames), "{password}");
        }
        assert_eq!(RULE.check("7391 5582 0046", &["123456"]), Ok(()), "a name without letters is no word");
    }

    #[test]
    fn the_list_has_only_what_could_be_looked_up() {
        assert!(COMMON.len() > 10_000);
        for line in COMMON.iter() {
            assert!(line.len() >= SHORTEST && *line == line.to_lowercase(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_longer_requirement_never_lets_more_in(password in "\\PC{0,40}", one in 8usize..64, other in 8usize..64) {
            let with = |min_length| PasswordRule { min_length, ..RULE }.check(&password, &NAMES).is_ok();
            prop_assert!(!with(one.max(other)) || with(one.min(other)));
        }
    }
}
