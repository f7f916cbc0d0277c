//! Codes that are sent: by text message, call and e-mail (NIST SP 800-63B-4, section 3.1.3).

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    attempt::AttemptPermit,
    authenticator::{Authenticator, FactorKind},
    error::{Error, Reason},
    factor::{damaged, place},
    id::{AuthenticatorId, UserId},
    login_name::LoginName,
    phone,
    port::{
        PortError,
        entropy::Entropy,
        sealer::{DigestPurpose, Sealer},
    },
    secret::{Digest, Sealed, Secret},
};

/// The factor class of throttles and logs. All channels share it: another channel gives no new tries.
pub const CLASS: &str = "oob";

/// Digits of a code (NIST SP 800-63B-4, section 3.1.3.2).
pub const DIGITS: usize = 6;

/// The sealed form. `v` tells later versions apart.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    to: Zeroizing<String>,
}

/// Seals where codes go, for the authenticator `id` of `user`.
///
/// # Errors
///
/// The sealer failed.
pub fn seal(to: &Secret<String>, id: &AuthenticatorId, user: &UserId, sealer: &dyn Sealer) -> Result<Sealed, Error> {
    let stored = Stored { v: 1, to: Zeroizing::new(to.expose().clone()) };
    let bytes = Zeroizing::new(serde_json::to_vec(&stored).map_err(damaged)?);
    Ok(sealer.seal(place(id, user), &bytes)?)
}

/// Where the codes of `authenticator` go: a number in E.164, or an address.
///
/// # Errors
///
/// The state does not open at this place, or is none of ours.
pub fn destination(authenticator: &Authenticator, sealer: &dyn Sealer) -> Result<Secret<String>, Error> {
    if let Some(address) = &authenticator.implied {
        return Ok(address.clone());
    }
    let bytes = sealer.open(place(&authenticator.id, &authenticator.user), &authenticator.state)?;
    let stored: Stored = serde_json::from_slice(bytes.expose()).map_err(damaged)?;
    if stored.v != 1 {
        return Err(Error::new(Reason::Internal).because("unknown version of a sealed factor"));
    }
    Ok(Secret::new((*stored.to).clone()))
}

/// What a number or an address is found by, whatever its spelling.
pub fn address_digest(to: &str, sealer: &dyn Sealer) -> Digest {
    sealer.keyed_digest(DigestPurpose::Address, &[one_spelling(to).as_bytes()])
}

/// One spelling for one number or mailbox, to find and to count it by. Codes go to what was given: a mail server may tell letters
/// apart (RFC 5321, section 2.4), though hardly one does.
pub fn one_spelling(to: &str) -> String {
    LoginName::parse(to).map_or_else(|_| to.to_owned(), |name| name.as_str().to_owned())
}

/// What messages to a number or a mailbox are counted by. Coarser than [`one_spelling`], by which two mailboxes must never be taken
/// for one: most servers put mail to `jane+anything` into the mailbox of `jane`, and all of them mail to `"jane"` (RFC 5321, section
/// 4.1.2).
pub fn one_destination(to: &str) -> String {
    let spelling = one_spelling(to);
    let Some((local, domain)) = spelling.rsplit_once('@') else { return spelling };
    let bare =
        local.strip_prefix('"').and_then(|local| local.strip_suffix('"')).map_or_else(|| local.into(), unescaped);
    // One that begins with the sign has no name before it.
    let mailbox = match bare.split_once('+') {
        Some((name, _tag)) if !name.is_empty() => name,
        _ => bare.as_str(),
    };
    format!("{mailbox}@{domain}")
}

/// Without the backslashes of a quoted string.
fn unescaped(quoted: &str) -> String {
    let mut escaped = false;
    let keep = |symbol: &char| {
        escaped = *symbol == '\\' && !escaped;
        !escaped
    };
    quoted.chars().filter(keep).collect()
}

/// An address as it is written to: no name beside it, no address literal, a domain with a dot, in small letters. `None` if it cannot
/// be one.
pub fn canonical_email(typed: &str) -> Option<Secret<String>> {
    let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
    let address = EmailAddress::parse_with_options(typed.trim(), options).ok()?;
    Some(Secret::new(format!("{}@{}", address.local_part(), address.domain().to_lowercase())))
}

/// A number or an address as its owner may recognise it.
pub fn mask(kind: FactorKind, to: &str) -> String {
    match kind {
        FactorKind::Email => mask_email(to),
        FactorKind::Push | FactorKind::Otp | FactorKind::Sms | FactorKind::Voice => phone::mask(to),
    }
}

/// Stars, but for the first four characters of the domain, as recorded at Auth0.
fn mask_email(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let shown: String = domain.chars().take(4).collect();
    let hidden = domain.chars().count().saturating_sub(4);
    format!("{}@{shown}{}", "*".repeat(local.chars().count()), "*".repeat(hidden))
}

/// The largest multiple of a million that four random bytes can hold: beyond it some codes would come up more often.
const FAIR: u32 = 4_294_000_000;

/// A new code: six digits, each of the million as likely as any other.
///
/// # Errors
///
/// There is no randomness.
pub fn generate(entropy: &dyn Entropy) -> Result<Secret<String>, PortError> {
    let mut random = [0; 4];
    loop {
        entropy.fill(&mut random)?;
        let number = u32::from_le_bytes(random);
        if number < FAIR {
            return Ok(Secret::new(format!("{:06}", number % 1_000_000)));
        }
    }
}

/// A code as it was typed, if it can be one: six ASCII digits and nothing else. Something else still counts as a failed try.
pub fn parse(typed: &str) -> Option<Secret<String>> {
    (typed.len() == DIGITS && typed.bytes().all(|byte| byte.is_ascii_digit())).then(|| Secret::new(typed.to_owned()))
}

/// What is kept of a code: it is bound to its challenge.
pub fn code_digest(challenge: &Digest, code: &Secret<String>, sealer: &dyn Sealer) -> Digest {
    sealer.keyed_digest(DigestPurpose::BindingCode, &[challenge.as_bytes(), code.expose().as_bytes()])
}

/// Whether `typed` is the code of `challenge`, in constant time.
pub fn matches(
    typed: Option<&Secret<String>>,
    challenge: &Digest,
    kept: &Digest,
    sealer: &dyn Sealer,
    _permit: &AttemptPermit,
) -> bool {
    typed.is_some_and(|code| code_digest(challenge, code, sealer).as_bytes().ct_eq(kept.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    /// the χ² statistic of ten digits has nine degrees of freedom; 27.88 is exceeded once in a thousand.
    #[test]
    fn every_digit_is_as_likely_as_any_other() {
        const CODES: u32 = 200_000;
        let entropy = SeededEntropy::new(20_261_124);
        let mut counts = [[0u32; 10]; DIGITS];
        for _ in 0..CODES {
            let code = generate(&entropy).unwrap();
            assert_eq!(code.expose().len(), DIGITS);
            for (place, digit) in code.expose().bytes().enumerate() {
                counts[place][usize::from(digit - b'0')] += 1;
            }
        }
        let expected = f64::from(CODES) / 10.0;
        for (place, counts) in counts.iter().enumerate() {
            let statistic: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
            assert!(statistic < 27.88, "place {place}: {statistic}");
        }
        let zeros = f64::from(counts[0][0]) / f64::from(CODES);
        assert!((0.09..0.11).contains(&zeros), "{zeros} begin with 0");
    }

    /// Gives these numbers, one after the other.
    struct Numbers(std::sync::Mutex<Vec<u32>>);

    impl Entropy for Numbers {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), PortError> {
            bytes.copy_from_slice(&self.0.lock().unwrap().remove(0).to_le_bytes());
            Ok(())
        }
    }

    /// What is left over beyond the last whole million would make some codes likelier than others.
    #[test]
    fn numbers_that_would_favour_some_codes_are_thrown_away() {
        let entropy = Numbers(vec![u32::MAX, FAIR, FAIR - 1, 42].into());
        assert_eq!(generate(&entropy).unwrap().expose(), "999999");
        assert_eq!(generate(&entropy).unwrap().expose(), "000042");
        assert_eq!(FAIR % 1_000_000, 0);
    }

    #[test]
    fn a_code_has_one_spelling() {
        assert!(parse("012345").is_some());
        for typed in ["", "12345", "1234567", " 12345", "12345６", "1234５", "+12345", "12 345"] {
            assert!(parse(typed).is_none(), "{typed}");
        }
    }

    #[test]
    fn an_address_is_bare_and_its_domain_small() {
        let read = |typed: &str| canonical_email(typed).map(|address| address.expose().clone());
        assert_eq!(read(" Ada@Example.COM ").as_deref(), Some("Ada@example.com"));
        for typed in ["", "ada", "ada@", "@example.com", "ada@localhost", "Ada <ada@example.com>", "ada@[127.0.0.1]"] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_mailbox_is_counted_whatever_its_spelling_and_a_number_stays() {
        for spelling in ["jane@example.com", "Jane@Example.COM", "\u{ff2a}ane@example.com"] {
            assert_eq!(one_spelling(spelling), "jane@example.com");
        }
        assert_eq!(one_spelling("+12025550123"), "+12025550123");
    }

    #[test]
    fn tags_and_quotes_are_no_mailbox_of_their_own() {
        for spelling in [
            "jane@example.com",
            "Jane+1@example.com",
            "jane+a+b@example.com",
            "jane+@example.com",
            "\"jane\"@example.com",
            "\"jane+x\"@example.com",
            "\"j\\ane\"@example.com",
            "\"J\\a\\ne+\\\"@\\\"\"@Example.com",
        ] {
            assert_eq!(one_destination(spelling), "jane@example.com", "{spelling}");
        }
        for (spelling, counted) in [
            ("+12025550123", "+12025550123"),
            ("+jane@example.com", "+jane@example.com"),
            ("\"a\\\\b\"@example.com", "a\\b@example.com"),
            ("\"@example.com", "\"@example.com"),
            ("jane.doe@example.com", "jane.doe@example.com"),
        ] {
            assert_eq!(one_destination(spelling), counted, "{spelling}");
        }
    }

    #[test]
    fn addresses_are_masked_as_recorded() {
        assert_eq!(mask(FactorKind::Email, "jane@example.com"), "****@exam*******");
        assert_eq!(mask(FactorKind::Email, "a@b"), "*@b");
        assert_eq!(mask(FactorKind::Sms, "+15551239167"), "XXXXXXXX9167");
    }
}
