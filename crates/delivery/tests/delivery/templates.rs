//! Every text in every language.

use std::{fmt::Write as _, fs, path::PathBuf, sync::LazyLock};

use countersign_delivery::{
    provider::Rendered,
    templates::{Mistakes, TemplateError, TemplateSettings, Templates},
};
use countersign_domain::{
    id::MessageId,
    message::{Channel, Content, Message, Notice, NoticeEvent, Purpose, Push, PushContext, PushService},
    secret::Secret,
    time::Timestamp,
};
use proptest::{prelude::any, prop_assert, prop_assert_eq, proptest};
use tempfile::TempDir;

const LOCALES: [&str; 6] = ["de", "en", "es", "fr", "ja", "pt"];

/// 63 characters; a link to say "this was not me" is about that long.
const LINK: &str = "https://login.example.com/n/csnr_4fzyo82mvyr2k9q1w7h3x5t6_9Kd2w";

fn settings() -> TemplateSettings {
    TemplateSettings { app_name: "Example".to_owned(), default_locale: "en".to_owned(), sms_domain: None, folder: None }
}

fn templates() -> &'static Templates {
    static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Templates::load(settings()).unwrap());
    &TEMPLATES
}

fn named(app_name: &str) -> Templates {
    Templates::load(TemplateSettings { app_name: app_name.to_owned(), ..settings() }).unwrap()
}

fn message(channel: Channel, content: Content, languages: Option<&str>) -> Message {
    Message {
        id: MessageId::new("msg_4fzyo82mvyr2k9q1w7h3x5t6"),
        channel,
        to: Secret::new("+4915112345678".to_owned()),
        content,
        languages: languages.map(String::from),
        created_at: Timestamp::from_millis(1_686_778_586_399),
        expires_at: Timestamp::from_millis(1_686_778_886_399),
    }
}

fn code(purpose: Purpose) -> Content {
    Content::Code { purpose, code: Secret::new("123456".to_owned()) }
}

fn notice(event: NoticeEvent, authenticator: Option<&str>, link: Option<&str>) -> Content {
    Content::Notice(Notice {
        event,
        authenticator: authenticator.map(String::from),
        repudiate: link.map(|link| Secret::new(link.to_owned())),
    })
}

fn login() -> Content {
    Content::Push(Push {
        challenge: Secret::new("challenge".to_owned()),
        transaction_token: Secret::new("token".to_owned()),
        context: PushContext {
            service: PushService::Fcm,
            base_url: "https://login.example.com".to_owned(),
            device: "dev_4fzyo82mvyr2k9q1".to_owned(),
            requested_at: Timestamp::from_millis(1_686_778_586_399),
            client_name: "Shop".to_owned(),
            user_agent: None,
            address: None,
            number_matching: true,
        },
    })
}

fn show(out: &mut String, name: &str, rendered: &Rendered) {
    writeln!(out, "=== {name}").unwrap();
    if let Some(subject) = &rendered.subject {
        writeln!(out, "[{subject}]").unwrap();
    }
    writeln!(out, "{}\n", rendered.text.expose()).unwrap();
    if let Some(html) = &rendered.html {
        writeln!(out, "{}\n", html.expose()).unwrap();
    }
}

/// All texts of one language, one after the other.
fn all_texts(locale: &str) -> String {
    let templates =
        Templates::load(TemplateSettings { sms_domain: Some("example.com".to_owned()), ..settings() }).unwrap();
    let mut out = String::new();
    for channel in Channel::ALL {
        let render = |content| templates.render(&message(channel, content, Some(locale))).unwrap();
        let way = channel.as_str();
        if channel == Channel::Push {
            show(&mut out, "push login", &render(login()));
        } else {
            show(&mut out, &format!("{way} enroll"), &render(code(Purpose::Enroll)));
            show(&mut out, &format!("{way} verify"), &render(code(Purpose::Verify)));
        }
        for event in NoticeEvent::ALL {
            let full = render(notice(event, Some("XXXXXX4567"), Some(LINK)));
            // One HTML notice shows the layout; the plain part has the words of the others.
            let html = full.html.clone().filter(|_| event == NoticeEvent::FactorAdded);
            show(&mut out, &format!("{way} {}", event.as_str()), &Rendered { html, ..full });
        }
        let bare = Rendered { html: None, ..render(notice(NoticeEvent::FactorAdded, None, None)) };
        show(&mut out, &format!("{way} factor-added, without name and link"), &bare);
    }
    out
}

#[test]
fn every_text_reads_as_it_should() {
    for locale in LOCALES {
        insta::assert_snapshot!(format!("texts_{locale}"), all_texts(locale));
    }
}

#[test]
fn ships_six_languages() {
    assert_eq!(templates().languages(), LOCALES);
}

#[test]
fn speaks_the_language_asked_for() {
    let templates = templates();
    let speaks = |languages: Option<&str>| {
        templates.render(&message(Channel::Sms, code(Purpose::Verify), languages)).unwrap().language
    };
    assert_eq!(speaks(Some("pt-PT")), "pt");
    assert_eq!(speaks(Some("nl, fr-CA;q=0.9, de;q=0.8")), "fr");
    assert_eq!(speaks(Some("zh")), "en");
    assert_eq!(speaks(None), "en");
}

#[test]
fn the_code_stands_in_no_title() {
    let templates = templates();
    for locale in LOCALES {
        for purpose in [Purpose::Enroll, Purpose::Verify] {
            let rendered = templates.render(&message(Channel::Email, code(purpose), Some(locale))).unwrap();
            assert!(!rendered.subject.unwrap().contains("123456"));
        }
    }
}

#[test]
fn a_notification_shows_no_digits() {
    let templates = templates();
    for locale in LOCALES {
        let rendered = templates.render(&message(Channel::Push, login(), Some(locale))).unwrap();
        assert_eq!(rendered.subject.as_deref(), Some("Example"));
        assert!(!rendered.text.expose().contains(char::is_numeric));
    }
}

#[test]
fn the_last_line_of_a_text_message_binds_the_code_to_a_domain() {
    let settings = TemplateSettings { sms_domain: Some("example.com".to_owned()), ..settings() };
    let rendered =
        Templates::load(settings).unwrap().render(&message(Channel::Sms, code(Purpose::Verify), None)).unwrap();
    assert_eq!(rendered.text.expose().lines().last(), Some("@example.com #123456"));
}

#[test]
fn no_code_is_put_into_a_notification() {
    let refused = templates().render(&message(Channel::Push, code(Purpose::Verify), None)).unwrap_err();
    assert_eq!(refused.to_string(), "nothing of the kind verify is said by Push");
}

#[test]
fn no_login_is_asked_about_outside_an_app() {
    for channel in [Channel::Sms, Channel::Voice, Channel::Email] {
        assert!(matches!(templates().render(&message(channel, login(), None)), Err(TemplateError::Unsaid { .. })));
    }
}

/// The default alphabet of 3GPP TS 23.038, section 6.2.1.
const GSM_7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension, of two septets each.
const GSM_7_EXTENSION: &str = "\u{c}^{}\\[~]|€";

fn septets(text: &str) -> Result<usize, char> {
    text.chars()
        .map(|c| match () {
            () if GSM_7.contains(c) => Ok(1),
            () if GSM_7_EXTENSION.contains(c) => Ok(2),
            () => Err(c),
        })
        .sum()
}

fn sms_contents(link: Option<&str>) -> Vec<Content> {
    let notices = NoticeEvent::ALL.into_iter().map(|event| notice(event, Some("XXXXXX4567"), link));
    [code(Purpose::Enroll), code(Purpose::Verify)].into_iter().chain(notices).collect()
}

#[test]
fn a_text_message_in_a_latin_script_is_one_segment() {
    let templates = named("Example Energy Online");
    for locale in LOCALES.into_iter().filter(|locale| *locale != "ja") {
        for content in sms_contents(None) {
            let rendered = templates.render(&message(Channel::Sms, content, Some(locale))).unwrap();
            let text = rendered.text.expose();
            let septets = septets(text).unwrap_or_else(|c| panic!("{c:?} is not in the GSM alphabet: {text}"));
            assert!(septets <= 160, "{septets}: {text}");
        }
    }
}

#[test]
fn a_notice_with_a_link_is_one_segment_too_under_a_short_name() {
    let templates = templates();
    for locale in LOCALES.into_iter().filter(|locale| *locale != "ja") {
        for event in NoticeEvent::ALL.into_iter().filter(|event| *event != NoticeEvent::SecondFactorFailed) {
            let content = notice(event, Some("XXXXXX4567"), Some(LINK));
            let rendered = templates.render(&message(Channel::Sms, content, Some(locale))).unwrap();
            let text = rendered.text.expose();
            assert!(septets(text).is_ok_and(|septets| septets <= 160), "{:?}: {text}", septets(text));
        }
    }
}

#[test]
fn a_code_in_japanese_is_one_segment() {
    for purpose in [Purpose::Enroll, Purpose::Verify] {
        let rendered = templates().render(&message(Channel::Sms, code(purpose), Some("ja"))).unwrap();
        // UCS-2 leaves 70 characters.
        assert!(rendered.text.expose().chars().count() <= 70, "{}", rendered.text.expose());
    }
}

#[test]
fn what_a_name_says_is_text_in_html() {
    const NAME: &str = r#"<i onclick="x">&'"#;
    const ESCAPED: &str = "&lt;i onclick=&quot;x&quot;&gt;&amp;&#x27;";
    let templates = named(NAME);
    for locale in LOCALES {
        let content = notice(NoticeEvent::FactorAdded, Some(NAME), Some("https://example.com/?a=1&b=\"2\""));
        let rendered = templates.render(&message(Channel::Email, content, Some(locale))).unwrap();
        assert_eq!(rendered.text.expose().matches(NAME).count(), 2);
        let html = rendered.html.unwrap();
        assert!(!html.expose().contains("<i"), "{}", html.expose());
        assert!(html.expose().matches(ESCAPED).count() >= 3);
        assert!(html.expose().contains("?a=1&amp;b=&quot;2&quot;"));
        assert!(rendered.subject.unwrap().contains(NAME));
    }
}

proptest! {
    #[test]
    fn whatever_languages_are_asked_for_something_is_said(languages in ".{0,200}", times in 1_usize..200) {
        let languages = languages.repeat(times);
        let rendered = templates().render(&message(Channel::Sms, code(Purpose::Verify), Some(&languages))).unwrap();
        prop_assert!(LOCALES.contains(&rendered.language.as_str()));
        prop_assert!(rendered.text.expose().contains("123456"));
    }

    #[test]
    fn whatever_is_a_list_of_languages_something_is_said(
        languages in "([a-zA-Z]{1,3}(-[a-zA-Z0-9]{1,8})?|\\*)(;q=(0|1)(\\.[0-9]{0,3})?)?(, ?(de|fr|ja|pt-PT)(;q=0\\.[0-9])?){0,5}",
    ) {
        let rendered = templates().render(&message(Channel::Email, code(Purpose::Verify), Some(&languages))).unwrap();
        prop_assert!(LOCALES.contains(&rendered.language.as_str()));
    }

    #[test]
    fn no_name_breaks_out_of_html(name in "[<>&\"'a-z ]{0,20}", locale in proptest::sample::select(&LOCALES)) {
        let content = notice(NoticeEvent::FactorRemoved, Some(&name), None);
        let plain = notice(NoticeEvent::FactorRemoved, Some("x"), None);
        let html = |content| {
            let rendered = templates().render(&message(Channel::Email, content, Some(locale))).unwrap();
            rendered.html.unwrap().expose().matches('<').count()
        };
        prop_assert_eq!(html(content), html(plain));
    }

    #[test]
    fn any_name_of_an_authenticator_leaves_a_text_message_on_one_line(name in any::<String>()) {
        let content = notice(NoticeEvent::FactorAdded, Some(&name), Some(LINK));
        let rendered = templates().render(&message(Channel::Sms, content, None)).unwrap();
        prop_assert!(!rendered.text.expose().contains(char::is_control));
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load_from(folder: &TempDir) -> Result<Templates, Mistakes> {
    Templates::load(TemplateSettings { folder: Some(folder.path().to_path_buf()), ..settings() })
}

fn mistakes(files: &[(&str, &str)]) -> String {
    load_from(&folder(files)).unwrap_err().to_string()
}

#[test]
fn a_file_in_the_folder_stands_in_for_the_shipped_one() {
    let folder = folder(&[("sms.txt", "{{ app }}: {{ code or kind }}"), ("..data", "not ours")]);
    let templates = load_from(&folder).unwrap();
    let rendered = templates.render(&message(Channel::Sms, code(Purpose::Verify), None)).unwrap();
    assert_eq!(rendered.text.expose(), "Example: 123456");
}

#[test]
fn a_file_in_the_folder_adds_a_language() {
    let english = include_str!("../../templates/en.jinja");
    let folder = folder(&[("nl.jinja", &english.replace("verification code", "verificatiecode"))]);
    let templates = load_from(&folder).unwrap();
    let rendered = templates.render(&message(Channel::Sms, code(Purpose::Verify), Some("nl-BE"))).unwrap();
    assert_eq!(rendered.language, "nl");
    assert!(rendered.text.expose().contains("verificatiecode"));
}

#[test]
fn reports_every_mistake_at_once_with_its_line() {
    let text = mistakes(&[
        ("email.txt", "{{ app }}\n{% if %}"),
        ("sms.txt", "{{ code }"),
        ("sms.text", ""),
        ("title.txt", "{% endfor %}"),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn reports_what_fails_only_when_it_is_made() {
    let text = mistakes(&[
        ("email.html", "<p>{{ titel }}</p>"),
        (
            "nl.jinja",
            "{# Dutch #}\n{% set direction = \"ltr\" %}\n{% macro event() %}\n{{ authenticatr }}{% endmacro %}",
        ),
        ("push.txt", "  "),
        ("title.txt", "two\nlines"),
        ("voice.txt", "Hello"),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_template_that_never_ends_is_a_mistake() {
    let text = mistakes(&[("sms.txt", "{% for i in range(9999) %}{% for i in range(9999) %}{% endfor %}{% endfor %}")]);
    assert!(text.contains("sms.txt:1: engine ran out of fuel"), "{text}");
}

#[test]
fn reports_wrong_settings_together() {
    let settings = TemplateSettings {
        app_name: "Exam\nple".to_owned(),
        default_locale: "tlh".to_owned(),
        sms_domain: Some("https://example.com".to_owned()),
        folder: Some(PathBuf::from("/nowhere/at/all")),
    };
    insta::assert_snapshot!(Templates::load(settings).unwrap_err());
}

#[test]
fn a_failure_does_not_tell_the_message() {
    // It fails on this code alone, which no rehearsal has.
    let folder = folder(&[("sms.txt", "{{ code or kind }}{% if code == \"123456\" %}{{ code.text }}{% endif %}")]);
    let templates = load_from(&folder).unwrap();
    let failed = templates.render(&message(Channel::Sms, code(Purpose::Verify), None)).unwrap_err();
    assert_eq!(failed.to_string(), "a template failed: sms.txt:1: cannot be rendered");
    assert!(!format!("{failed:?}").contains("123456"));
}
