//! Authenticator apps: time-based one-time passwords (RFC 6238).

use data_encoding::BASE32_NOPAD;
use fast_qr::{
    ECL, QRBuilder,
    convert::{Builder as _, svg::SvgBuilder},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use crate::{
    attempt::AttemptPermit,
    authenticator::Authenticator,
    error::{Error, Reason},
    factor::{damaged, place},
    id::{AuthenticatorId, UserId},
    port::{PortError, entropy::Entropy, sealer::Sealer},
    registry::OtpWindow,
    secret::{Sealed, Secret},
    time::Timestamp,
};

/// The factor class of throttles and logs.
pub const CLASS: &str = "otp";

/// Seconds of a time step (RFC 6238, section 4.1).
pub const PERIOD: u64 = 30;

/// Bytes of a secret: 160 bits, as RFC 4226, section 4, R6 recommends.
const SECRET_BYTES: usize = 20;

/// The hash of the HMAC (RFC 6238, section 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OtpAlgorithm {
    /// HMAC-SHA-1, what every app understands.
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl OtpAlgorithm {
    /// The name in an otpauth URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

/// A code as it was typed, if it can be one: 6 or 8 ASCII digits and nothing else. No blank is stripped, no other digit is
/// folded, so that one code has one spelling.
pub struct OtpCode(Zeroizing<String>);

impl OtpCode {
    /// Reads what was typed; `None` if it cannot be a code. That still counts as a failed try.
    pub fn parse(typed: &str) -> Option<Self> {
        let digits = matches!(typed.len(), 6 | 8) && typed.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(Zeroizing::new(typed.to_owned())))
    }
}

/// What proves an authenticator app.
pub struct OtpSecret {
    algorithm: OtpAlgorithm,
    digits: u8,
    secret: Secret<Vec<u8>>,
}

/// The sealed form. `v` tells later versions apart.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    algorithm: OtpAlgorithm,
    digits: u8,
    secret: Zeroizing<String>,
}

impl OtpSecret {
    /// A new random secret. `digits` is 6 or 8.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn generate(algorithm: OtpAlgorithm, digits: u8, entropy: &dyn Entropy) -> Result<Self, PortError> {
        let mut secret = vec![0; SECRET_BYTES];
        entropy.fill(&mut secret)?;
        Ok(Self { algorithm, digits, secret: Secret::new(secret) })
    }

    /// Seals it for the authenticator `id` of `user`.
    ///
    /// # Errors
    ///
    /// The sealer failed.
    pub fn seal(&self, id: &AuthenticatorId, user: &UserId, sealer: &dyn Sealer) -> Result<Sealed, Error> {
        let stored = Stored { v: 1, algorithm: self.algorithm, digits: self.digits, secret: self.base32() };
        let bytes = Zeroizing::new(serde_json::to_vec(&stored).map_err(damaged)?);
        Ok(sealer.seal(place(id, user), &bytes)?)
    }

    /// Opens what an authenticator holds.
    ///
    /// # Errors
    ///
    /// The state does not open at this place, or is none of ours.
    pub fn open(authenticator: &Authenticator, sealer: &dyn Sealer) -> Result<Self, Error> {
        let bytes = sealer.open(place(&authenticator.id, &authenticator.user), &authenticator.state)?;
        let stored: Stored = serde_json::from_slice(bytes.expose()).map_err(damaged)?;
        if stored.v != 1 {
            return Err(Error::new(Reason::Internal).because("unknown version of a sealed factor"));
        }
        let secret = BASE32_NOPAD.decode(stored.secret.as_bytes()).map_err(damaged)?;
        Ok(Self { algorithm: stored.algorithm, digits: stored.digits, secret: Secret::new(secret) })
    }

    /// The time step whose code `code` is, among the steps of `window` around `now` and later than `after`.
    ///
    /// Every step of the window is computed and compared in constant time, whatever matches.
    pub fn matched_step(
        &self,
        code: &OtpCode,
        window: OtpWindow,
        after: Option<u64>,
        now: Timestamp,
        _permit: &AttemptPermit,
    ) -> Option<u64> {
        let totp = self.totp();
        let current = step_at(now);
        let mut matched = None;
        for step in current.saturating_sub(window.behind)..=current.saturating_add(window.ahead) {
            let expected = Zeroizing::new(totp.generate(step.saturating_mul(PERIOD)).to_string());
            let equal = bool::from(expected.as_bytes().ct_eq(code.0.as_bytes()));
            if equal && after.is_none_or(|after| step > after) && matched.is_none() {
                matched = Some(step);
            }
        }
        matched
    }

    /// The hash of the HMAC.
    pub const fn algorithm(&self) -> OtpAlgorithm {
        self.algorithm
    }

    /// Digits of a code.
    pub const fn digits(&self) -> u8 {
        self.digits
    }

    /// The secret, base32 without padding.
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(self.secret.expose()))
    }

    /// The otpauth URI: label `{app}:{account}`, then secret, issuer, algorithm, digits, period.
    pub fn barcode_uri(&self, app: &str, account: &str) -> Secret<String> {
        let app = utf8_percent_encode(app, LABEL);
        let account = utf8_percent_encode(account, LABEL);
        let (secret, algorithm, digits) = (self.base32(), self.algorithm.as_str(), self.digits);
        Secret::new(format!(
            "otpauth://totp/{app}:{account}?secret={}&issuer={app}&algorithm={algorithm}&digits={digits}&period={PERIOD}",
            secret.as_str()
        ))
    }

    fn totp(&self) -> Totp {
        let algorithm = match self.algorithm {
            OtpAlgorithm::Sha1 => Algorithm::SHA1,
            OtpAlgorithm::Sha256 => Algorithm::SHA256,
            OtpAlgorithm::Sha512 => Algorithm::SHA512,
        };
        // Lengths were settled when the secret was made or imported; the library's own checks would only repeat that.
        Builder::new()
            .with_algorithm(algorithm)
            .with_digits(self.digits)
            .with_secret(self.secret.expose().clone())
            .with_step_duration(PERIOD)
            .build_noncompliant()
    }
}

/// Modules around a QR code that stay white (ISO/IEC 18004).
const QUIET_ZONE: usize = 4;

/// The QR code of `uri`, an SVG document with the quiet zone scanners need.
///
/// # Errors
///
/// [`Reason::RequestMalformed`] if the text does not fit a QR code.
pub fn qr_svg(uri: &Secret<String>) -> Result<Secret<String>, Error> {
    let code = QRBuilder::new(uri.expose().as_bytes())
        .ecl(ECL::M)
        .build()
        .map_err(|_too_long| Error::malformed("name", "The account's name is too long for a QR code."))?;
    Ok(Secret::new(SvgBuilder::default().margin(QUIET_ZONE).to_str(&code)))
}

/// The step `now` falls into (RFC 6238, section 4.2).
pub const fn step_at(now: Timestamp) -> u64 {
    let seconds = now.as_secs();
    if seconds < 0 { 0 } else { seconds.unsigned_abs() / PERIOD }
}

/// What stays as it is in a label: RFC 3986's unreserved characters.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{attempt::tests::permit, testing::SeededEntropy};

    fn secret(algorithm: OtpAlgorithm, digits: u8, bytes: &[u8]) -> OtpSecret {
        OtpSecret { algorithm, digits, secret: Secret::new(bytes.to_vec()) }
    }

    const EXACT: OtpWindow = OtpWindow { behind: 0, ahead: 0, learns: false };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(i64::try_from(seconds * 1000).unwrap())
    }

    /// RFC 6238, appendix B.
    #[test]
    fn matches_the_vectors_of_rfc_6238() {
        let key = b"1234567890123456789012345678901234567890123456789012345678901234";
        let table = [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ];
        for (time, sha1, sha256, sha512) in table {
            for (algorithm, length, code) in
                [(OtpAlgorithm::Sha1, 20, sha1), (OtpAlgorithm::Sha256, 32, sha256), (OtpAlgorithm::Sha512, 64, sha512)]
            {
                let secret = secret(algorithm, 8, &key[..length]);
                let code = OtpCode::parse(code).unwrap();
                let step = secret.matched_step(&code, EXACT, None, at(time), &permit());
                assert_eq!(step, Some(time / 30), "{algorithm:?} at {time}");
            }
        }
    }

    /// RFC 4226, appendix D: the counter is the step.
    #[test]
    fn matches_the_vectors_of_rfc_4226() {
        let secret = secret(OtpAlgorithm::Sha1, 6, b"12345678901234567890");
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, code) in (0u64..).zip(codes) {
            let code = OtpCode::parse(code).unwrap();
            assert_eq!(secret.matched_step(&code, EXACT, None, at(step * 30), &permit()), Some(step));
        }
    }

    #[test]
    fn a_reader_finds_the_uri_in_the_picture() {
        const SCALE: usize = 4;
        let uri = "otpauth://totp/Example%20Org:ann%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Org";
        let svg = qr_svg(&Secret::new(uri.to_owned())).unwrap();
        let (_, path) = svg.expose().split_once(r#"<path d=""#).unwrap();
        let (path, _) = path.split_once('"').unwrap();
        // Each dark module is a square of its own: "M{x},{y}h1v1h-1".
        let dark: std::collections::HashSet<(usize, usize)> = path
            .split('M')
            .skip(1)
            .map(|square| {
                let (x, y) = square.strip_suffix("h1v1h-1").unwrap().split_once(',').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        let size = dark.iter().map(|(x, _)| x + 1 + QUIET_ZONE).max().unwrap();
        assert!(dark.iter().all(|(x, y)| *x >= QUIET_ZONE && *y >= QUIET_ZONE), "the quiet zone is white");
        assert!(svg.expose().contains(&format!(r#"viewBox="0 0 {size} {size}""#)), "the quiet zone is on all sides");
        let shade = |x, y| if dark.contains(&(x / SCALE, y / SCALE)) { 0 } else { 255 };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(size * SCALE, size * SCALE, shade);
        let read: Vec<_> = picture.detect_grids().iter().map(|grid| grid.decode().unwrap().1).collect();
        assert_eq!(read, [uri]);
    }

    #[test]
    fn refuses_other_spellings_of_a_code() {
        for typed in [
            "",
            "12345",
            "1234567",
            "123456789",
            " 123456",
            "123456 ",
            "123 456",
            "12345\t",
            "+12345",
            "-12345",
            "\u{ff11}\u{ff12}",
            "１２３４５６",
            "12345a",
            "123456\0",
            "\u{a0}123456",
            "0x1234",
        ] {
            assert!(OtpCode::parse(typed).is_none(), "{typed:?}");
        }
    }

    #[test]
    fn the_window_ends_at_the_millisecond() {
        let secret = secret(OtpAlgorithm::Sha1, 6, b"12345678901234567890");
        let window = OtpWindow { behind: 1, ahead: 1, learns: false };
        let code_of = |step: u64| OtpCode::parse(&secret.totp().generate(step * PERIOD).to_string()).unwrap();
        let first = Timestamp::from_millis(100 * 30_000);
        let last = Timestamp::from_millis(101 * 30_000 - 1);
        for now in [first, last] {
            for (step, accepted) in [(98, false), (99, true), (100, true), (101, true), (102, false)] {
                let found = secret.matched_step(&code_of(step), window, None, now, &permit());
                assert_eq!(found.is_some(), accepted, "step {step} at {now:?}");
            }
        }
    }

    #[test]
    fn the_uri_is_the_contracts() {
        let secret = secret(OtpAlgorithm::Sha1, 6, b"12345678901234567890");
        assert_eq!(
            secret.barcode_uri("My Test Tenant", "user@example.com").expose(),
            "otpauth://totp/My%20Test%20Tenant:user%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=My%20Test%20Tenant&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn secrets_have_160_bits_and_differ() {
        let entropy = SeededEntropy::new(3);
        let mut seen = std::collections::HashSet::new();
        let mut ones = 0u32;
        for _ in 0..1000 {
            let secret = OtpSecret::generate(OtpAlgorithm::Sha1, 6, &entropy).unwrap();
            let text = secret.base32();
            assert_eq!(text.len(), 32);
            assert!(text.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)));
            ones += secret.secret.expose().iter().map(|byte| byte.count_ones()).sum::<u32>();
            assert!(seen.insert(text.to_string()));
        }
        // Monobit: 160,000 bits, standard deviation 200.
        assert!((79_000..81_000).contains(&ones), "{ones} ones");
    }

    proptest! {
        #[test]
        fn a_step_is_only_accepted_after_an_earlier_one(first in 0u64..1_000_000, offset in 0u64..4, back in 0u64..4) {
            let secret = secret(OtpAlgorithm::Sha1, 6, b"12345678901234567890");
            let now_step = first + offset;
            let step = now_step.saturating_sub(back);
            let code = OtpCode::parse(&secret.totp().generate(step * PERIOD).to_string()).unwrap();
            let window = OtpWindow { behind: 3, ahead: 0, learns: false };
            let found = secret.matched_step(&code, window, Some(first), at(now_step * PERIOD), &permit());
            if let Some(found) = found {
                prop_assert!(found > first);
            }
            if step > first {
                prop_assert!(found.is_some());
            }
        }
    }
}
