//! What messages say, in the reader's language.
//!
//! One file has the layout of a channel (`sms.txt`, `voice.txt`, `email.txt`, `email.html`, `push.txt`, and `title.txt` for the
//! subject of an e-mail and the title of a notification), one file the words of a language (`en.jinja`): a macro for each thing
//! that is said, which the layouts call. All are templates of minijinja, in the spelling of Jinja.
//!
//! | variable | is |
//! | --- | --- |
//! | `app` | the name of the application |
//! | `language` | the chosen language, `en` |
//! | `channel` | `sms`, `voice`, `email`, `push` |
//! | `kind` | `enroll`, `verify`, `factor-added`, `factor-removed`, `recovery-code-created`, `recovery-code-used`, `second-factor-failed`, `login-refused`, `device-suspended`, `device-remembered`, `remembered-device-reused`, `login` |
//! | `code`, `digits` | the code, and its digits spaced for speech; `none` in notices, notifications and titles |
//! | `domain` | the domain that codes in text messages are bound to; `none` if there is none |
//! | `authenticator` | the name of the authenticator or its masked address, in a notice that is read; else `none` |
//! | `link` | where "this was not me" is said, in a notice by text message or e-mail; else `none` |
//! | `title` | in `email.html`: what `title.txt` made |
//!
//! The words of a language also say how it is written: `direction` is `ltr` or `rtl`, `gap` stands between two sentences.
//!
//! A variable or macro that does not exist is a mistake. In `email.html` variables are escaped; words are not, and so must not
//! contain `<` or `&`. A text message costs the least if the GSM alphabet (3GPP TS 23.038) has all its letters.
//!
//! # Growing it
//!
//! A language: a file in `templates/` with the macros of `en.jinja`, and its line in `source.rs`.

mod check;
mod context;
mod source;

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
};

use countersign_domain::{
    message::{Channel, Message},
    secret::Secret,
};
use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter, syntax::SyntaxConfig,
};

use self::context::Constants;
use crate::words::{Words, WordsError};
use crate::{language, provider::Rendered};

/// The one template that escapes.
const HTML: &str = "email.html";
/// Steps one template may take. The longest of ours takes fewer than 250.
const FUEL: u64 = 20_000;

/// What templates are made with.
#[derive(Clone, Debug)]
pub struct TemplateSettings {
    /// The application's name, as its people know it.
    pub app_name: String,
    /// The language of those who asked for none that exists: `en`.
    pub default_locale: String,
    /// The domain that codes in text messages are bound to: phones offer such a code on this domain alone
    /// ("Origin-bound one-time codes delivered via SMS", WICG). `None` leaves the line out.
    pub sms_domain: Option<String>,
    /// A folder whose files stand in for shipped ones of the same name, or add languages.
    pub folder: Option<PathBuf>,
}

/// Something wrong with a template or a setting of templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, or the setting.
    pub file: String,
    /// The line, if one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// Everything that is wrong with the templates.
#[derive(Debug, thiserror::Error)]
#[error("the templates have mistakes:{}", lines(.0))]
pub struct Mistakes(pub Vec<Mistake>);

/// Why a message has no words. It holds nothing of the message.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No words are made for this: a code in a notification, a login by e-mail.
    #[error("nothing of the kind {kind} is said by {channel:?}")]
    Unsaid {
        /// The channel.
        channel: Channel,
        /// A purpose, an event, or `login`.
        kind: &'static str,
    },
    /// A template failed, although it did not when it was loaded.
    #[error("a template failed: {0}")]
    Failed(Mistake),
}

/// All texts in all languages, ready to be made.
pub struct Templates {
    environment: Environment<'static>,
    languages: Vec<String>,
    default: String,
    constants: Constants,
}

impl Templates {
    /// Reads and parses every template, and makes every text once.
    ///
    /// # Errors
    ///
    /// Every mistake in files and settings, at once.
    pub fn load(settings: TemplateSettings) -> Result<Self, Mistakes> {
        let mut mistakes = check_settings(&settings);
        let files = source::collect(settings.folder.as_deref(), &mut mistakes);
        // Sorted as the files are.
        let languages: Vec<_> = files.keys().filter_map(|name| source::language_of(name)).map(String::from).collect();
        let default =
            languages.iter().find(|language| language.eq_ignore_ascii_case(&settings.default_locale)).cloned();
        if default.is_none() {
            mistakes.push(Mistake::of_file("default_locale", format!("is none of {}", languages.join(", "))));
        }
        let mut environment = environment();
        for (name, text) in files {
            if let Err(error) = environment.add_template_owned(name.clone(), text) {
                mistakes.push(Mistake::rehearsed(&error, &name));
            }
        }
        let constants = Constants { app_name: settings.app_name, sms_domain: settings.sms_domain };
        let templates = Self { environment, languages, default: default.unwrap_or_default(), constants };
        // A file that cannot be parsed would be reported again by everything that uses it.
        if mistakes.is_empty() {
            mistakes = check::rehearse(&templates);
        }
        if mistakes.is_empty() { Ok(templates) } else { Err(Mistakes(mistakes)) }
    }

    /// The languages there are, sorted.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// The words of `message`, in the language its reader wants most among those that exist.
    ///
    /// The wish is read as `Accept-Language` (RFC 9110, section 12.5.4), and each language of it looked up as in RFC 4647,
    /// section 3.4: `pt-PT` finds `pt-PT`, then `pt`, then any other Portuguese. If nothing fits, nothing was asked for, or the
    /// wish is garbage or longer than 1 KiB, the default is taken.
    ///
    /// # Errors
    ///
    /// See [`TemplateError`].
    pub fn render(&self, message: &Message) -> Result<Rendered, TemplateError> {
        if !context::is_said(message.channel, &message.content) {
            return Err(TemplateError::Unsaid { channel: message.channel, kind: context::kind(&message.content) });
        }
        let language = language::choose(message.languages.as_deref(), &self.languages, &self.default);
        self.render_in(language, message).map_err(|mistake| {
            // What went wrong may quote the message; where it did cannot.
            TemplateError::Failed(Mistake { what: "cannot be rendered".into(), ..mistake })
        })
    }

    fn render_in(&self, language: &str, message: &Message) -> Result<Rendered, Mistake> {
        let subject = match message.channel {
            Channel::Email | Channel::Push => {
                Some(self.make("title.txt", &context::of_title(message, language, &self.constants))?)
            }
            Channel::Sms | Channel::Voice => None,
        };
        let context = context::of_text(message, language, &self.constants, subject.as_deref());
        let text = Secret::new(self.make(text_file(message.channel), &context)?);
        let html = match message.channel {
            Channel::Email => Some(Secret::new(self.make(HTML, &context)?)),
            Channel::Sms | Channel::Voice | Channel::Push => None,
        };
        Ok(Rendered { language: language.to_owned(), subject, text, html })
    }

    fn make(&self, file: &str, context: &Value) -> Result<String, Mistake> {
        let made = self.environment.get_template(file).and_then(|template| template.render(context));
        made.map(|text| text.trim().to_owned()).map_err(|error| Mistake::rehearsed(&error, file))
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("languages", &self.languages).finish_non_exhaustive()
    }
}

impl Mistake {
    fn of_file(file: &str, what: String) -> Self {
        Self { file: file.to_owned(), line: None, what }
    }

    /// Where a template failed and why. The innermost cause is nearest to the mistake.
    fn rehearsed(error: &Error, file: &str) -> Self {
        let mut innermost = error;
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            innermost = cause.downcast_ref::<Error>().filter(|cause| cause.name().is_some()).unwrap_or(innermost);
            source = cause.source();
        }
        let what = innermost
            .detail()
            .map_or_else(|| innermost.kind().to_string(), |detail| format!("{}: {detail}", innermost.kind()));
        Self { file: innermost.name().unwrap_or(file).to_owned(), line: innermost.line(), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().fold(String::new(), |text, mistake| text + "\n  " + &mistake.to_string())
}

fn text_file(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "sms.txt",
        Channel::Voice => "voice.txt",
        Channel::Email => "email.txt",
        Channel::Push => "push.txt",
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(whitespace());
    // A file of an operator may loop for ever by mistake.
    environment.set_fuel(Some(FUEL));
    // By the file that is rendered: the words of a language are escaped where HTML calls them.
    environment.set_auto_escape_callback(|name| if name == HTML { AutoEscape::Html } else { AutoEscape::None });
    environment.set_formatter(format);
    environment
}

/// A tag that stands on a line of its own leaves no line behind.
fn whitespace() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    builder.build().unwrap_or_default()
}

/// Escapes for HTML, but leaves slashes alone: mail filters look for links and do not all decode entities first.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe() => {
            for c in text.chars() {
                match c {
                    '&' => out.write_str("&amp;")?,
                    '<' => out.write_str("&lt;")?,
                    '>' => out.write_str("&gt;")?,
                    '"' => out.write_str("&quot;")?,
                    '\'' => out.write_str("&#x27;")?,
                    other => out.write_char(other)?,
                }
            }
            Ok(())
        }
        _ => escape_formatter(out, state, value),
    }
}

fn check_settings(settings: &TemplateSettings) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let name = &settings.app_name;
    // A line break would end the subject line of an e-mail.
    if name.trim().is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        mistakes.push(Mistake::of_file("app_name", "must be one line of text, without blanks around it".into()));
    }
    if settings.sms_domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
        mistakes.push(Mistake::of_file("sms_domain", "must be a domain, such as example.com".into()));
    }
    mistakes
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label)
}

impl Words for Templates {
    fn render(&self, message: &Message) -> Result<Rendered, WordsError> {
        Self::render(self, message).map_err(Into::into)
    }
}
