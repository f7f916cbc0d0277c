//! Which language a reader gets.
//!
//! A matcher of our own, because none of the crates fits: `accept-language` compares tags byte for byte and sorts qualities as
//! floating-point numbers, `fluent-langneg` does not read qualities, and `icu_locale` parses tags but does not choose among them.

/// No browser sends more; what is longer is not read.
const MAX_BYTES: usize = 1024;

/// One range of the list.
struct Range<'a> {
    tag: &'a str,
    /// Thousandths.
    quality: u16,
}

/// The best of `available`, which is sorted, for a reader who asked as in `Accept-Language`; `default` if nothing fits.
///
/// Ranges are tried from the most wanted to the least; among equals the first wins. Each is looked up as in RFC 4647,
/// section 3.4: as it stands, then without its last subtag, and so on, so that `pt-PT` finds `pt`. A range that has come down to
/// the language alone also takes a variant of it, so that `pt` finds `pt-BR`. `*` is `default`. A range of quality 0 is not
/// wanted. What is malformed is passed over, and a list of more than 1 KiB is not looked at.
pub(crate) fn choose<'a>(languages: Option<&str>, available: &'a [String], default: &'a str) -> &'a str {
    let Some(languages) = languages.filter(|languages| languages.len() <= MAX_BYTES) else { return default };
    let mut ranges: Vec<_> = languages.split(',').filter_map(parse).filter(|range| range.quality > 0).collect();
    // A stable sort: the order of equals is the reader's.
    ranges.sort_by_key(|range| std::cmp::Reverse(range.quality));
    ranges
        .iter()
        .find_map(|range| if range.tag == "*" { Some(default) } else { look_up(range.tag, available) })
        .unwrap_or(default)
}

/// Whether `tag` has the form of a language tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|subtag| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn look_up<'a>(tag: &str, available: &'a [String]) -> Option<&'a str> {
    let exactly = |tag: &str| available.iter().find(|name| name.eq_ignore_ascii_case(tag));
    let mut wanted = tag;
    loop {
        if let Some(name) = exactly(wanted) {
            return Some(name);
        }
        match wanted.rsplit_once('-') {
            Some((shorter, _)) => wanted = shorter,
            None => break,
        }
    }
    let variant = |name: &&String| name.split_once('-').is_some_and(|(first, _)| first.eq_ignore_ascii_case(wanted));
    available.iter().find(variant).map(String::as_str)
}

/// `language-range [ OWS ";" OWS "q=" qvalue ]` (RFC 9110, sections 12.4.2 and 12.5.4).
fn parse(text: &str) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let tag = parts.next().filter(|tag| *tag == "*" || is_tag(tag))?;
    let quality = match parts.next() {
        None => 1000,
        Some(weight) => {
            let (name, value) = weight.split_once('=')?;
            name.eq_ignore_ascii_case("q").then(|| thousandths(value))??
        }
    };
    parts.next().is_none().then_some(Range { tag, quality })
}

/// `0`, `0.5`, `1.000`: one digit, and at most three after the point.
fn thousandths(value: &str) -> Option<u16> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if !matches!(whole, "0" | "1") || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{part:0<3}").parse().ok().filter(|quality| *quality <= 1000)
}

#[cfg(test)]
mod tests {
    use super::choose;

    fn chosen(languages: &str) -> String {
        let available = ["de", "en", "pt", "zh-Hant-TW"].map(String::from);
        choose(Some(languages), &available, "en").to_owned()
    }

    #[test]
    fn takes_the_most_wanted_language_that_exists() {
        assert_eq!(chosen("fr, de;q=0.5, pt;q=0.7"), "pt");
        assert_eq!(chosen("de;q=0.5, pt;q=0.5"), "de");
        assert_eq!(chosen("DE-at"), "de");
    }

    #[test]
    fn gives_up_subtags_from_the_end() {
        assert_eq!(chosen("pt-PT"), "pt");
        assert_eq!(chosen("de-Latn-CH-1996"), "de");
    }

    #[test]
    fn takes_a_variant_of_a_language_that_does_not_exist_alone() {
        assert_eq!(chosen("zh"), "zh-Hant-TW");
    }

    #[test]
    fn falls_back_to_the_default() {
        for languages in ["", "fr", "*", "*, de", "de;q=0", "q=1", "de;q=2", "de;q=0.0001", "de;q", "de;q=1;q=1", ",;,"]
        {
            assert_eq!(chosen(languages), "en", "{languages}");
        }
        assert_eq!(choose(None, &["de".to_owned()], "de"), "de");
    }

    #[test]
    fn does_not_read_a_list_that_is_too_long() {
        assert_eq!(chosen(&format!("de{}", ", fr".repeat(2560))), "en");
    }
}
