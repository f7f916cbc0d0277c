//! Telephone numbers.

use phonenumber::{Metadata, Mode, Type, country, metadata::DATABASE};

use crate::secret::Secret;

/// A number that can be dialled.
#[derive(Clone)]
pub struct Phone {
    e164: Secret<String>,
    country: country::Id,
}

/// The most that is read; a number has at most 15 digits (ITU-T E.164), and people put signs between them.
const MAX_CHARS: usize = 40;

impl Phone {
    /// Reads a number with its country code, `+1 555 123 4567`; blanks, dashes, dots and parentheses are left out. `None` if no such
    /// number can exist, or it is none of a person: at premium rate, toll-free, a pager's, a company's.
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > MAX_CHARS {
            return None;
        }
        let bare: String = typed.chars().filter(|symbol| !matches!(symbol, ' ' | '-' | '.' | '(' | ')')).collect();
        let digits = bare.strip_prefix('+')?;
        if !(1..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = phonenumber::parse(None, &bare).ok()?;
        let national = number.national().to_string();
        let plan = plan_of(number.code().value(), &national)?;
        if !is_personal(plan, &national)? {
            return None;
        }
        let country = plan.id().parse().ok()?;
        Some(Self { e164: Secret::new(number.format().mode(Mode::E164).to_string()), country })
    }

    /// Reads the table of the world's numbering plans, which takes a tenth of a second and is else done by whoever comes first.
    pub fn prepare() {
        drop(Self::parse("+12025550123"));
    }

    /// The number in E.164, `+15551234567`.
    pub const fn e164(&self) -> &Secret<String> {
        &self.e164
    }

    /// Its country, ISO 3166-1 alpha-2: `US`.
    pub fn country(&self) -> &str {
        self.country.as_ref()
    }

    /// What it shares with the numbers next to it: all but the last four digits.
    pub fn prefix(&self) -> &str {
        let number = self.e164.expose();
        number.get(..number.len().saturating_sub(SHOWN)).unwrap_or_default()
    }
}

/// The numbering plan that has `national`, of those that share a country code. `None`: no plan has such a number, or it is no code.
///
/// Asked here and not of the library, which drops the zeros that numbers of some countries begin with, and then finds no country for
/// those that share their code, as Italy does.
fn plan_of(code: u16, national: &str) -> Option<&'static Metadata> {
    let plans = DATABASE.by_code(&code)?;
    if let [only] = plans.as_slice() {
        return Some(only);
    }
    // The main country comes first.
    plans.into_iter().find(|plan| match plan.leading_digits() {
        Some(leading) => leading.find(national).is_some_and(|found| found.start() == 0),
        None => is_personal(plan, national).is_some(),
    })
}

/// Whether a number is of a kind that a person has for themselves. Whoever has one of another kind earns by what is sent to it, or
/// shares it. `None`: there can be no such number by this `plan`.
fn is_personal(plan: &Metadata, national: &str) -> Option<bool> {
    const KINDS: [(Type, bool); 10] = [
        (Type::PremiumRate, false),
        (Type::TollFree, false),
        (Type::SharedCost, false),
        (Type::Voip, true),
        (Type::PersonalNumber, true),
        (Type::Pager, false),
        (Type::Uan, false),
        (Type::Voicemail, false),
        (Type::FixedLine, true),
        (Type::Mobile, true),
    ];
    if !plan.descriptors().general().is_match(national) {
        return None;
    }
    let is = |kind| plan.descriptors().get(kind).is_some_and(|numbers| numbers.is_match(national));
    KINDS.into_iter().find_map(|(kind, personal)| is(kind).then_some(personal))
}

/// Whether there are numbers of `country`, two capital letters (ISO 3166-1).
pub fn has_numbers(country: &str) -> bool {
    DATABASE.by_id(country).is_some()
}

/// Characters of a number that are shown, as Auth0 has it.
const SHOWN: usize = 4;

/// An `X` for every character of a number but the last four.
pub fn mask(number: &str) -> String {
    let hidden = number.chars().count().saturating_sub(SHOWN);
    number.chars().enumerate().map(|(at, symbol)| if at < hidden { 'X' } else { symbol }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_number_are_one() {
        for typed in ["+12025550123", "+1 202 555-0123", "+1 (202) 555.0123", " +1 2025550123 "] {
            let phone = Phone::parse(typed).unwrap();
            assert_eq!(phone.e164().expose(), "+12025550123", "{typed}");
            assert_eq!(phone.country(), "US");
            assert_eq!(phone.prefix(), "+1202555");
        }
    }

    #[test]
    fn the_country_is_that_of_the_number() {
        for (number, country) in [
            ("+4915112345678", "DE"),
            ("+447400123456", "GB"),
            ("+819012345678", "JP"),
            ("+14165550123", "CA"),
            ("+77012345678", "KZ"),
            ("+393123456789", "IT"),
            ("+390612345678", "IT"),
            ("+390669812345", "VA"),
        ] {
            let phone = Phone::parse(number).unwrap();
            assert_eq!((phone.country(), phone.e164().expose().as_str()), (country, number));
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for typed in [
            "",
            "+",
            "12025550123",
            "+1",
            "+1202555012",
            "+999123456789",
            "+1202555012３",
            "tel:+12025550123",
            "+1202#5550123",
        ] {
            assert!(Phone::parse(typed).is_none(), "{typed}");
        }
        assert!(Phone::parse(&"+1".repeat(10_000)).is_none());
    }

    #[test]
    fn numbers_that_earn_or_that_nobody_has_alone_are_refused() {
        for (kind, number) in [
            ("premium rate", "+19002345678"),
            ("premium rate", "+449012345678"),
            ("premium rate", "+499001234567"),
            ("toll-free", "+18002345678"),
            ("toll-free", "+448081234567"),
            ("toll-free", "+80012345678"),
            ("shared cost", "+491801234567"),
            ("shared cost", "+81570012345"),
            ("pager", "+447640123456"),
            ("company", "+445512345678"),
        ] {
            assert!(phonenumber::parse(None, number).is_ok_and(|number| number.is_valid()), "{number} exists");
            assert!(Phone::parse(number).is_none(), "{kind}: {number}");
        }
    }

    #[test]
    fn numbers_of_persons_are_accepted() {
        for (kind, number) in [
            ("fixed or mobile", "+12025550123"),
            ("mobile", "+4915112345678"),
            ("fixed", "+493012345678"),
            ("mobile", "+447400123456"),
            ("over the internet", "+445612345678"),
            ("personal", "+447012345678"),
            ("mobile, with a zero in front", "+2250712345678"),
            ("fixed, with a zero in front and a code that two countries share", "+390612345678"),
        ] {
            assert!(Phone::parse(number).is_some(), "{kind}: {number}");
        }
    }

    #[test]
    fn only_the_last_four_digits_are_shown() {
        assert_eq!(mask("+15551239167"), "XXXXXXXX9167");
        assert_eq!(mask("123"), "123");
    }

    proptest! {
        // More than by default: few digits drawn at random are a number.
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn numbers_are_those_of_the_library(digits in "[0-9]{7,12}", code in prop::sample::select(vec![
            "1", "7", "20", "33", "34", "39", "44", "49", "55", "81", "91", "225", "262", "358", "590", "599", "800", "883",
        ])) {
            let typed = format!("+{code}{digits}");
            let phone = Phone::parse(&typed);
            let Ok(number) = phonenumber::parse(None, &typed) else {
                prop_assert!(phone.is_none(), "{typed}");
                return Ok(());
            };
            if phone.is_some() {
                prop_assert!(number.is_valid(), "{typed}");
            }
            // It tells no kind and no country of others.
            if number.national().zeros() == 0 {
                let kind = number.number_type(&DATABASE);
                let personal =
                    [Type::FixedLine, Type::Mobile, Type::FixedLineOrMobile, Type::PersonalNumber, Type::Voip].contains(&kind);
                // Codes of no country, as of satellites, are refused: no list of countries could allow them.
                let country = number.country().id();
                let accepted = number.is_valid() && personal && country.is_some();
                prop_assert_eq!(phone.is_some(), accepted, "{}: {:?}", typed, kind);
                if let Some(phone) = phone {
                    prop_assert_eq!(Some(phone.country()), country.as_ref().map(AsRef::as_ref), "{}", typed);
                }
            }
        }

        #[test]
        fn anything_can_be_read(typed in ".*") {
            if let Some(phone) = Phone::parse(&typed) {
                prop_assert!(phone.e164().expose().starts_with('+'));
            }
        }
    }
}
