//! What a call says (<https://www.twilio.com/docs/voice/twiml>).

use std::io;

use countersign_domain::secret::Secret;
use quick_xml::{Writer, events::BytesText};

/// How often the code, or a sentence without one, is said.
const TIMES: usize = 2;

/// Languages without a region, as templates name them, and the voices that speak them.
const VOICES: [(&str, &str); 22] = [
    ("ar", "ar-XA"),
    ("cs", "cs-CZ"),
    ("da", "da-DK"),
    ("de", "de-DE"),
    ("el", "el-GR"),
    ("en", "en-US"),
    ("es", "es-ES"),
    ("fi", "fi-FI"),
    ("fr", "fr-FR"),
    ("hu", "hu-HU"),
    ("it", "it-IT"),
    ("ja", "ja-JP"),
    ("ko", "ko-KR"),
    ("nb", "nb-NO"),
    ("nl", "nl-NL"),
    ("pl", "pl-PL"),
    ("pt", "pt-BR"),
    ("ru", "ru-RU"),
    ("sv", "sv-SE"),
    ("tr", "tr-TR"),
    ("uk", "uk-UA"),
    ("zh", "cmn-CN"),
];

/// The sentence, then the code digit by digit with a second after each, twice. Without a code the sentence twice.
pub(super) fn speak(language: &str, sentence: &str, code: Option<&str>) -> io::Result<Secret<String>> {
    let voice = VOICES.iter().find(|(bare, _)| *bare == language).map_or(language, |(_, voice)| voice);
    let mut writer = Writer::new(Vec::new());
    writer.create_element("Response").write_inner_content(|xml| {
        match code {
            Some(code) => {
                // As one number it would be said in words: eight hundred thousand and so on.
                say(xml, voice, &sentence.replace(code, &spaced(code)))?;
                for _ in 0..TIMES {
                    pause(xml, "2")?;
                    for digit in code.chars() {
                        say(xml, voice, digit.encode_utf8(&mut [0; 4]))?;
                        pause(xml, "1")?;
                    }
                }
            }
            None => {
                for _ in 0..TIMES {
                    say(xml, voice, sentence)?;
                    pause(xml, "1")?;
                }
            }
        }
        Ok(())
    })?;
    String::from_utf8(writer.into_inner()).map(Secret::new).map_err(io::Error::other)
}

fn say(xml: &mut Writer<Vec<u8>>, voice: &str, text: &str) -> io::Result<()> {
    // XML 1.0 has no way to write control characters (section 2.2).
    let text: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    xml.create_element("Say").with_attribute(("language", voice)).write_text_content(BytesText::new(&text))?;
    Ok(())
}

fn pause(xml: &mut Writer<Vec<u8>>, seconds: &str) -> io::Result<()> {
    xml.create_element("Pause").with_attribute(("length", seconds)).write_empty()?;
    Ok(())
}

/// `123` becomes `1, 2, 3`.
fn spaced(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_code_is_said_digit_by_digit_twice() {
        let digits = "<Pause length=\"2\"/>\
            <Say language=\"de-DE\">4</Say><Pause length=\"1\"/><Say language=\"de-DE\">2</Say><Pause length=\"1\"/>";
        assert_eq!(
            speak("de", "Dein Code ist 42.", Some("42")).unwrap().expose(),
            &format!("<Response><Say language=\"de-DE\">Dein Code ist 4, 2.</Say>{digits}{digits}</Response>")
        );
    }

    #[test]
    fn a_sentence_without_a_code_is_said_twice() {
        let once = "<Say language=\"pt-BR\">Oi</Say><Pause length=\"1\"/>";
        assert_eq!(speak("pt-BR", "Oi", None).unwrap().expose(), &format!("<Response>{once}{once}</Response>"));
    }

    #[test]
    fn no_text_becomes_an_instruction() {
        let spoken = speak("en\"><Dial>1</Dial>", "</Say><Dial>+1 & \"2\"</Dial>\u{0}\u{8}", None).unwrap();
        assert!(!spoken.expose().contains("<Dial"), "{}", spoken.expose());
        assert!(!spoken.expose().contains(char::is_control));
        let mut reader = quick_xml::Reader::from_str(spoken.expose());
        reader.config_mut().check_end_names = true;
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
    }
}
