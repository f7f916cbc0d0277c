//! Opaque tokens and identifiers: random, easy to recognise, easy to reject.

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;
use zeroize::Zeroizing;

use crate::{
    port::{PortError, entropy::Entropy},
    secret::Secret,
};

/// Kinds of opaque tokens. A prefix never changes once tokens with it are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The `mfa_token` of a pending login.
    Mfa,
    /// The `oob_code` of a challenge whose code was sent.
    Oob,
    /// The `oob_code` of a challenge that a device answers.
    Approval,
    /// The bearer of a device's answer, the `txtkn` of the Guardian protocol.
    PushTransaction,
    /// The link of a notice.
    Notice,
    /// A refresh token. It is derived, not drawn: see `refresh_token.rs`.
    Refresh,
    /// The token of a remembered device, derived likewise.
    RememberedDevice,
}

impl TokenKind {
    /// `cs<kind>_`, what scanners look for.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Mfa => "csmfa_",
            Self::Oob => "csoob_",
            Self::Approval => "csapp_",
            Self::PushTransaction => "cstxn_",
            Self::Notice => "csnot_",
            Self::Refresh => "csref_",
            Self::RememberedDevice => "csrem_",
        }
    }

    /// The domain of the token's digest.
    pub const fn digest_domain(self) -> &'static str {
        match self {
            Self::Mfa => "mfa_token",
            Self::Oob => "oob_code",
            Self::Approval => "approval",
            Self::PushTransaction => "push_transaction",
            Self::Notice => "notice",
            Self::Refresh => "refresh_token",
            Self::RememberedDevice => "remembered_device",
        }
    }

    /// How many bytes it stands for.
    const fn bytes(self) -> usize {
        match self {
            Self::Refresh | Self::RememberedDevice => REFRESH_BYTES,
            _ => RANDOM_BYTES,
        }
    }
}

const RANDOM_BYTES: usize = 32;

/// What a refresh token stands for: its family, its generation and what proves them.
pub(crate) const REFRESH_BYTES: usize = 52;

const CHECKSUM_CHARS: usize = 7;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| encoding("abcdefghijklmnopqrstuvwxyz234567"));

#[expect(clippy::expect_used, reason = "the alphabet is a constant of 32 distinct characters")]
fn encoding(symbols: &str) -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(symbols);
    specification.encoding().expect("32 distinct symbols")
}

/// Makes a token of `kind`: `cs<kind>_<52 base32 characters, 256 random bits>_<7 base32 characters, CRC-32 of what precedes>`.
///
/// # Errors
///
/// [`PortError::Unavailable`] if there is no randomness.
pub fn mint(kind: TokenKind, entropy: &dyn Entropy) -> Result<Secret<String>, PortError> {
    let mut random = [0u8; RANDOM_BYTES];
    entropy.fill(&mut random)?;
    Ok(of_bytes(kind, &random))
}

/// The token of `kind` that has these bytes, which nobody else must be able to know.
pub fn of_bytes<const N: usize>(kind: TokenKind, bytes: &[u8; N]) -> Secret<String> {
    let body = format!("{}{}", kind.prefix(), BASE32.encode(bytes));
    let checksum = checksum(&body);
    Secret::new(format!("{body}_{checksum}"))
}

/// `bytes` in lower-case letters and digits: 32 of them for 160 bits.
pub fn base32(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// What [`base32`] wrote; `None` if it is anything else.
pub fn parse_base32(text: &str) -> Option<Vec<u8>> {
    BASE32.decode(text.as_bytes()).ok()
}

/// Whether `token` has the form of a token of `kind`, checksum included. It says nothing about whether it exists.
pub fn is_well_formed(kind: TokenKind, token: &str) -> bool {
    let length = kind.prefix().len() + BASE32.encode_len(kind.bytes()) + 1 + CHECKSUM_CHARS;
    token.is_ascii()
        && token.len() == length
        && token.starts_with(kind.prefix())
        && token.rsplit_once('_').is_some_and(|(body, sum)| checksum(body) == sum)
}

/// The bytes that `token` stands for, if it is a token of `kind`, which has `N` of them.
pub fn bytes_of<const N: usize>(kind: TokenKind, token: &str) -> Option<Secret<[u8; N]>> {
    if !is_well_formed(kind, token) {
        return None;
    }
    let (body, _checksum) = token.rsplit_once('_')?;
    let decoded = Zeroizing::new(BASE32.decode(body.strip_prefix(kind.prefix())?.as_bytes()).ok()?);
    decoded.as_slice().try_into().ok().map(Secret::new)
}

fn checksum(body: &str) -> String {
    BASE32.encode(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

/// `length` characters drawn evenly from `alphabet`, which has at most 256 ASCII characters.
///
/// # Errors
///
/// [`PortError::Unavailable`] if there is no randomness.
pub fn random_text(alphabet: &[u8], length: usize, entropy: &dyn Entropy) -> Result<String, PortError> {
    // Bytes at or above the largest multiple of the alphabet's size are drawn again, so that no character is likelier.
    let limit = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    while text.len() < length {
        entropy.fill(&mut bytes)?;
        for byte in bytes {
            let byte = usize::from(byte);
            if byte < limit
                && text.len() < length
                && let Some(symbol) = alphabet.get(byte % alphabet.len())
            {
                text.push(char::from(*symbol));
            }
        }
    }
    Ok(text)
}

/// Letters of both cases and digits, for authenticator ids.
pub const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Lower-case letters and digits, for user ids.
pub const LOWER_ALPHANUMERIC: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Crockford's base32 alphabet, for recovery codes: no I, L, O or U.
pub const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn minted_tokens_are_well_formed_and_distinct() {
        let entropy = SeededEntropy::new(7);
        let one = mint(TokenKind::Mfa, &entropy).unwrap();
        let two = mint(TokenKind::Mfa, &entropy).unwrap();
        assert!(is_well_formed(TokenKind::Mfa, one.expose()));
        assert_ne!(one.expose(), two.expose());
    }

    #[test]
    fn refuses_every_changed_character() {
        let token = mint(TokenKind::Mfa, &SeededEntropy::new(7)).unwrap();
        for at in 0..token.expose().len() {
            let mut changed = token.expose().clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert!(!is_well_formed(TokenKind::Mfa, std::str::from_utf8(&changed).unwrap()), "at {at}");
        }
        for junk in ["", "csmfa_", "csmfa__", "eyJhbGciOiJSUzI1NiJ9.e30.AA", "csmfa_\u{e9}", &"_".repeat(66)] {
            assert!(!is_well_formed(TokenKind::Mfa, junk), "{junk}");
        }
    }

    #[test]
    fn a_token_stands_for_its_bytes_and_has_one_spelling() {
        let bytes: [u8; REFRESH_BYTES] = std::array::from_fn(|at| u8::try_from(at * 5).unwrap());
        let token = of_bytes(TokenKind::Refresh, &bytes);
        assert_eq!(bytes_of::<REFRESH_BYTES>(TokenKind::Refresh, token.expose()).unwrap().expose(), &bytes);
        assert!(bytes_of::<RANDOM_BYTES>(TokenKind::Mfa, token.expose()).is_none(), "another kind");
        // Bits that stand for nothing are zero: with others, and a checksum that fits, it is no token.
        let (body, _) = token.expose().rsplit_once('_').unwrap();
        let other = format!("{}7", &body[..body.len() - 1]);
        let other = format!("{other}_{}", checksum(&other));
        assert!(is_well_formed(TokenKind::Refresh, &other));
        assert!(bytes_of::<REFRESH_BYTES>(TokenKind::Refresh, &other).is_none());
    }

    #[test]
    fn random_text_uses_the_whole_alphabet_evenly() {
        let entropy = SeededEntropy::new(1);
        let text = random_text(CROCKFORD, 32_000, &entropy).unwrap();
        for symbol in CROCKFORD {
            let count = text.bytes().filter(|byte| byte == symbol).count();
            assert!((850..1150).contains(&count), "{} appears {count} times", char::from(*symbol));
        }
    }
}
