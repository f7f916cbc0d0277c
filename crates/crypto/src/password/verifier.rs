//! The two texts that hold a hash: the PHC string of others, and our own with the pepper on top.

use std::fmt;

use data_encoding::{BASE64_NOPAD, HEXLOWER};

use super::params::HashParams;

const OUTPUT_BYTES: usize = 32;

/// What a hash is made of besides the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) params: HashParams,
    pub(super) salt: Vec<u8>,
    /// How many bytes argon2 puts out. Ours are 32; those that come from elsewhere may differ.
    pub(super) output_bytes: usize,
}

impl Recipe {
    /// With an output of 32 bytes.
    pub(super) fn new(params: HashParams, salt: &[u8]) -> Self {
        Self { params, salt: salt.to_vec(), output_bytes: OUTPUT_BYTES }
    }
}

/// The stored form: `$cs1$<pepper id>$argon2id$v=19$m=…,t=…,p=…[,l=…]$<salt>$<HMAC-SHA-256 of the output>`, base64 without
/// padding. `l` is the length of the output where it is not 32.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier {
    pub(super) pepper_id: [u8; 8],
    pub(super) recipe: Recipe,
    pub(super) mac: [u8; 32],
}

impl Verifier {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("$cs1$")?.split('$');
        let pepper_id = HEXLOWER.decode(fields.next()?.as_bytes()).ok()?.try_into().ok()?;
        let (params, output_bytes) = parse_costs(&mut fields)?;
        let (salt, mac) = parse_values(&mut fields)?;
        let recipe = Recipe { params, salt, output_bytes: output_bytes.unwrap_or(OUTPUT_BYTES) };
        Some(Self { pepper_id, recipe, mac: mac.try_into().ok()? })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipe { params, salt, output_bytes } = &self.recipe;
        let (memory, passes, lanes) = (params.memory_kib(), params.passes(), params.lanes());
        write!(f, "$cs1${}$argon2id$v=19$m={memory},t={passes},p={lanes}", HEXLOWER.encode(&self.pepper_id))?;
        if *output_bytes != OUTPUT_BYTES {
            write!(f, ",l={output_bytes}")?;
        }
        write!(f, "${}${}", BASE64_NOPAD.encode(salt), BASE64_NOPAD.encode(&self.mac))
    }
}

/// Reads `$argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>`: the recipe, and what argon2 put out.
pub(super) fn parse_phc(text: &str) -> Option<(Recipe, Vec<u8>)> {
    let mut fields = text.strip_prefix('$')?.split('$');
    let (params, None) = parse_costs(&mut fields)? else { return None };
    let (salt, output) = parse_values(&mut fields)?;
    // Shorter outputs are guessable by chance; longer ones do not occur.
    let output_bytes = output.len();
    (16..=64).contains(&output_bytes).then_some((Recipe { params, salt, output_bytes }, output))
}

fn parse_costs<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<(HashParams, Option<usize>)> {
    if fields.next()? != "argon2id" || fields.next()? != "v=19" {
        return None;
    }
    let mut costs = fields.next()?.split(',');
    let memory = number(costs.next()?.strip_prefix("m=")?)?;
    let passes = number(costs.next()?.strip_prefix("t=")?)?;
    let lanes = number(costs.next()?.strip_prefix("p=")?)?;
    let length = match costs.next() {
        Some(length) => Some(usize::try_from(number(length.strip_prefix("l=")?)?).ok()?),
        None => None,
    };
    if length.is_some_and(|length| !(16..=64).contains(&length)) || costs.next().is_some() {
        return None;
    }
    Some((HashParams::new(memory, passes, lanes).ok()?, length))
}

fn parse_values<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<(Vec<u8>, Vec<u8>)> {
    let salt = BASE64_NOPAD.decode(fields.next()?.as_bytes()).ok()?;
    let value = BASE64_NOPAD.decode(fields.next()?.as_bytes()).ok()?;
    // Argon2 needs 8 bytes of salt (RFC 9106, section 3.1).
    ((8..=64).contains(&salt.len()) && fields.next().is_none()).then_some((salt, value))
}

/// A decimal number as the PHC format writes it: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STORED: &str = "$cs1$0001020304050607$argon2id$v=19$m=19456,t=2,p=1$AgICAgICAgICAgICAgICAg$\
                          AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";

    #[test]
    fn the_stored_form_survives_a_round_trip() {
        let verifier = Verifier {
            pepper_id: [0, 1, 2, 3, 4, 5, 6, 7],
            recipe: Recipe::new(HashParams::DEFAULT, &[2; 16]),
            mac: [3; 32],
        };
        assert_eq!(verifier.to_string(), STORED);
        assert!(Verifier::parse(STORED).unwrap() == verifier);

        let other = Verifier { recipe: Recipe { output_bytes: 24, ..verifier.recipe.clone() }, ..verifier };
        assert!(other.to_string().contains("p=1,l=24$"));
        assert!(Verifier::parse(&other.to_string()).unwrap() == other);
    }

    #[test]
    fn refuses_every_other_text() {
        for (from, to) in [
            ("$cs1$", "$cs2$"),
            ("0001020304050607", "00010203"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("v=19$", ""),
            ("m=19456", "m=019456"),
            ("m=19456", "m=+19456"),
            ("m=19456", "m=4294967295"),
            ("m=19456,t=2", "t=2,m=19456"),
            ("p=1", "p=1,l=8"),
            ("p=1", "p=1,l=32,x=1"),
            ("AgICAgICAgICAgICAgICAg", "AgI"),
            ("AgICAgICAgICAgICAgICAg", "AgICAgICAgICAgICAgICAg=="),
            ("AwMDAw", "AwMD"),
            ("AwM", "AwN$"),
        ] {
            let text = STORED.replacen(from, to, 1);
            assert!(text != STORED && Verifier::parse(&text).is_none(), "{text}");
        }
        assert!(Verifier::parse("").is_none());
        assert!(Verifier::parse(&format!("{STORED}$")).is_none());
    }

    #[test]
    fn reads_the_phc_string_of_the_reference_implementation() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let (recipe, output) = parse_phc(phc).unwrap();
        assert_eq!(recipe.salt, b"somesalt");
        assert_eq!((recipe.params.memory_kib(), recipe.params.passes(), recipe.params.lanes()), (65_536, 2, 1));
        assert_eq!((output.len(), recipe.output_bytes), (32, 32));
        assert!(parse_phc(&phc.replace("p=1", "p=1,l=32")).is_none());
        assert!(parse_phc(&phc.replace("CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFhFdXP")).is_none());
        assert!(parse_phc(&phc[1..]).is_none());
    }
}
