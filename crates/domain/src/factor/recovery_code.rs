//! The recovery code: a look-up secret of 120 bits (NIST SP 800-63B-4, sections 3.1.2 and 4.2.1.1).

use crate::{
    attempt::AttemptPermit,
    id::UserId,
    opaque::{CROCKFORD, random_text},
    port::{
        PortError,
        entropy::Entropy,
        sealer::{DigestPurpose, Sealer},
    },
    secret::{Digest, Secret},
};

/// Characters of a code. Below 23 a keyed fast hash would not be enough (NIST SP 800-63B-4, section 3.1.2.2).
pub const LENGTH: usize = 24;

/// The factor class of throttles and logs.
pub const CLASS: &str = "recovery-code";

/// A new random code.
///
/// # Errors
///
/// There is no randomness.
pub fn generate(entropy: &dyn Entropy) -> Result<Secret<String>, PortError> {
    random_text(CROCKFORD, LENGTH, entropy).map(Secret::new)
}

/// The canonical form of what was typed: upper case, without blanks and dashes, and with the letters that Crockford's alphabet
/// leaves out read as the digits they resemble. `None` if it cannot be a code; that still counts as a failed try.
pub fn parse(typed: &str) -> Option<Secret<String>> {
    let mut code = String::with_capacity(LENGTH);
    for symbol in typed.chars().filter(|symbol| !symbol.is_whitespace() && *symbol != '-') {
        let symbol = match symbol.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if code.len() == LENGTH || !u8::try_from(symbol).is_ok_and(|byte| CROCKFORD.contains(&byte)) {
            return None;
        }
        code.push(symbol);
    }
    (code.len() == LENGTH).then(|| Secret::new(code))
}

/// The digest under which a new code is stored.
pub fn digest_to_store(code: &Secret<String>, user: &UserId, sealer: &dyn Sealer) -> Digest {
    sealer.keyed_digest(DigestPurpose::RecoveryCode, &[user.as_str().as_bytes(), code.expose().as_bytes()])
}

/// The digest to look a presented code up by.
pub fn digest_to_compare(code: &Secret<String>, user: &UserId, sealer: &dyn Sealer, _permit: &AttemptPermit) -> Digest {
    digest_to_store(code, user, sealer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn spellings_of_one_code_are_one() {
        for typed in [
            "17EQHNZC2SZDYG7X4QXVX9SW",
            "17eqhnzc2szdyg7x4qxvx9sw",
            " 17EQ-HNZC-2SZD YG7X-4QXV-X9SW ",
            "l7EQHNZC2SZDYG7X4QXVX9SW",
        ] {
            assert_eq!(parse(typed).unwrap().expose(), "17EQHNZC2SZDYG7X4QXVX9SW", "{typed}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_code() {
        for typed in [
            "",
            "17EQHNZC2SZDYG7X4QXVX9S",
            "17EQHNZC2SZDYG7X4QXVX9SWA",
            "U7EQHNZC2SZDYG7X4QXVX9SW",
            "é7EQHNZC2SZDYG7X4QXVX9SW",
            &"1".repeat(10_000),
        ] {
            assert!(parse(typed).is_none(), "{typed}");
        }
    }

    #[test]
    fn what_is_made_can_be_read() {
        let code = generate(&SeededEntropy::new(9)).unwrap();
        assert_eq!(parse(code.expose()).unwrap().expose(), code.expose());
    }
}
