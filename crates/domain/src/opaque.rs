//! Opaque tokens and identifiers: random, easy to recognise, easy to reject.

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;
use zeroize::Zeroizing;

use crate::{
    port::{PortError, entropy::Entropy, sealer::Sealer},
    secret::{Digest, Secret},
    time::Timestamp,
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
            Self::Mfa | Self::Oob => HANDLE_BYTES,
            _ => RANDOM_BYTES,
        }
    }
}

const RANDOM_BYTES: usize = 32;

/// A time in milliseconds since the Unix epoch: good for 8,900 years.
const TIME_BYTES: usize = 6;

/// What a handle of short-lived state stands for.
const HANDLE_BYTES: usize = TIME_BYTES + RANDOM_BYTES;

/// What a refresh token stands for: its family, its generation and what proves them.
pub const REFRESH_BYTES: usize = 52;

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
    debug_assert_eq!(kind.bytes(), RANDOM_BYTES, "others are made in their own ways");
    let mut random = [0u8; RANDOM_BYTES];
    entropy.fill(&mut random)?;
    Ok(of_bytes(kind, &random))
}

/// Makes a handle of state that ends at `ends_at`, as [`mint`] does, with that time before the random bits. The second half of the
/// answer is its key.
///
/// # Errors
///
/// [`PortError::Unavailable`] if there is no randomness.
pub fn mint_handle(
    kind: TokenKind,
    ends_at: Timestamp,
    entropy: &dyn Entropy,
    sealer: &dyn Sealer,
) -> Result<(Secret<String>, Digest), PortError> {
    let mut bytes = Zeroizing::new([0u8; HANDLE_BYTES]);
    let (time, random) = bytes.split_at_mut(TIME_BYTES);
    let [_, _, ends_at @ ..] = ends_at.as_millis().to_be_bytes();
    time.copy_from_slice(&ends_at);
    entropy.fill(random)?;
    let token = of_bytes(kind, &bytes);
    let key = key_of(kind, token.expose(), &bytes, sealer);
    Ok((token, key))
}

/// What the state behind the handle `token` of `kind` is kept under; `None` if it is no such handle.
pub fn handle_key(kind: TokenKind, token: &str, sealer: &dyn Sealer) -> Option<Digest> {
    bytes_of(kind, token).map(|bytes| key_of(kind, token, bytes.expose(), sealer))
}

/// The digest of `token`, but for its first six bytes, which are the time in it: what was begun together lies together in a store that
/// is ordered by key, and what is over lies at one end. 208 bits of the digest are left.
fn key_of(kind: TokenKind, token: &str, bytes: &[u8; HANDLE_BYTES], sealer: &dyn Sealer) -> Digest {
    let mut key = *sealer.token_digest(kind.digest_domain(), token.as_bytes()).as_bytes();
    for (byte, time) in key.iter_mut().zip(bytes.iter().take(TIME_BYTES)) {
        *byte = *time;
    }
    Digest::new(key)
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
    use crate::testing::{SeededEntropy, ToySealer};

    #[test]
    fn minted_tokens_are_well_formed_and_distinct() {
        let entropy = SeededEntropy::new(7);
        let one = mint(TokenKind::Notice, &entropy).unwrap();
        let two = mint(TokenKind::Notice, &entropy).unwrap();
        assert!(is_well_formed(TokenKind::Notice, one.expose()));
        assert_ne!(one.expose(), two.expose());
    }

    #[test]
    fn refuses_every_changed_character() {
        let entropy = SeededEntropy::new(7);
        let (token, _) = mint_handle(TokenKind::Mfa, Timestamp::from_millis(1), &entropy, &ToySealer(0)).unwrap();
        for at in 0..token.expose().len() {
            let mut changed = token.expose().clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert!(!is_well_formed(TokenKind::Mfa, std::str::from_utf8(&changed).unwrap()), "at {at}");
        }
        for junk in ["", "csmfa_", "csmfa__", "eyJhbGciOiJSUzI1NiJ9.e30.AA", "csmfa_\u{e9}", &"_".repeat(75)] {
            assert!(!is_well_formed(TokenKind::Mfa, junk), "{junk}");
        }
    }

    #[test]
    fn a_token_stands_for_its_bytes_and_has_one_spelling() {
        let bytes: [u8; REFRESH_BYTES] = std::array::from_fn(|at| u8::try_from(at * 5).unwrap());
        let token = of_bytes(TokenKind::Refresh, &bytes);
        assert_eq!(bytes_of::<REFRESH_BYTES>(TokenKind::Refresh, token.expose()).unwrap().expose(), &bytes);
        assert!(bytes_of::<REFRESH_BYTES>(TokenKind::RememberedDevice, token.expose()).is_none(), "another kind");
        // Bits that stand for nothing are zero: with others, and a checksum that fits, it is no token.
        let (body, _) = token.expose().rsplit_once('_').unwrap();
        let other = format!("{}7", &body[..body.len() - 1]);
        let other = format!("{other}_{}", checksum(&other));
        assert!(is_well_formed(TokenKind::Refresh, &other));
        assert!(bytes_of::<REFRESH_BYTES>(TokenKind::Refresh, &other).is_none());
    }

    #[test]
    fn the_key_of_a_handle_begins_with_its_time_and_depends_on_every_bit() {
        let (entropy, sealer) = (SeededEntropy::new(7), ToySealer(0));
        let ending = |at| mint_handle(TokenKind::Mfa, Timestamp::from_millis(at), &entropy, &sealer).unwrap();
        let key = |token: &Secret<String>| handle_key(TokenKind::Mfa, token.expose(), &sealer).unwrap();
        let ((early, one), (_, late), (_, other)) =
            (ending(0x0102_0304_0506), ending(0x0102_0304_0507), ending(0x0102_0304_0506));
        assert_eq!(one, key(&early));
        assert_eq!(one.as_bytes()[..6], [1, 2, 3, 4, 5, 6]);
        assert!(one < late);
        assert_ne!(one.as_bytes()[6..], other.as_bytes()[6..]);
        // Who changes the time names something else.
        let mut bytes = *bytes_of::<HANDLE_BYTES>(TokenKind::Mfa, early.expose()).unwrap().expose();
        bytes[5] += 1;
        assert_ne!(key(&of_bytes(TokenKind::Mfa, &bytes)).as_bytes()[6..], one.as_bytes()[6..]);
        assert!(handle_key(TokenKind::Oob, early.expose(), &sealer).is_none(), "another kind");
        assert!(handle_key(TokenKind::Mfa, "csmfa_", &sealer).is_none());
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
