//! The name of a browser and of its system, for the owner of an account to recognise.
//!
//! Whoever logs in writes the `User-Agent`, perhaps an intruder who would like to put words on the owner's screen. So only names
//! from these lists are shown, and of versions only digits.

use serde_json::{Map, Value, json};

/// A mark in the text and what it stands for. The first that occurs wins: Edge also says Chrome, and Chrome says Safari.
type Names = &'static [(&'static str, &'static str)];

const BROWSERS: Names = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

const SYSTEMS: Names = &[
    ("Windows NT ", "Windows"),
    ("iPhone OS ", "iOS"),
    ("iPad; CPU OS ", "iPadOS"),
    ("Android ", "Android"),
    ("CrOS ", "ChromeOS"),
    ("Mac OS X ", "macOS"),
    ("Linux", "Linux"),
];

/// `{"b": {"n": browser, "v": version}, "os": {"n": system, "v": version}}`, without what is not known.
pub(crate) fn source(user_agent: Option<&str>) -> Value {
    let mut source = Map::new();
    let text = user_agent.unwrap_or_default();
    for (key, names) in [("b", BROWSERS), ("os", SYSTEMS)] {
        if let Some((name, version)) = find(text, names) {
            source.insert(key.to_owned(), json!({ "n": name, "v": version }));
        }
    }
    Value::Object(source)
}

fn find(text: &str, names: Names) -> Option<(&'static str, String)> {
    names.iter().find_map(|(mark, name)| text.split_once(mark).map(|(_, rest)| (*name, version(rest))))
}

/// `17_5` and `17.5.1.2` alike: the first two numbers.
fn version(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let numbers =
        text.get(..end).unwrap_or_default().split(['.', '_']).filter(|number| (1..=5).contains(&number.len()));
    numbers.take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::source;

    #[test]
    fn names_the_common_browsers() {
        let shown = |user_agent| source(Some(user_agent)).to_string();
        assert_eq!(
            shown(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.68"
            ),
            r#"{"b":{"n":"Edge","v":"126.0"},"os":{"n":"Windows","v":"10.0"}}"#
        );
        assert_eq!(
            shown(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
            ),
            r#"{"b":{"n":"Safari","v":"17.5"},"os":{"n":"iOS","v":"17.5"}}"#
        );
        assert_eq!(
            shown("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
            r#"{"b":{"n":"Firefox","v":"127.0"},"os":{"n":"Linux","v":""}}"#
        );
    }

    #[test]
    fn shows_no_words_of_the_one_who_logs_in() {
        assert_eq!(source(Some("Call +1 555 0100, your account is blocked")).to_string(), "{}");
        assert_eq!(source(Some("Chrome/call us")).to_string(), r#"{"b":{"n":"Chrome","v":""}}"#);
        assert_eq!(source(None).to_string(), "{}");
    }
}
