//! The parameters of a request body, JSON or form, parsed once.
//!
//! What is unknown is ignored; what is null or empty is absent; what comes twice is refused (RFC 6749, section 3.2). A value
//! of a wrong type is refused only where it is read.

mod form;
mod json;

use std::borrow::Cow;

use http::{HeaderMap, header::CONTENT_TYPE};

use crate::oauth_error::Problem;

macro_rules! names {
    ($($variant:ident = $text:literal,)*) => {
        /// A parameter that some route reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Parameter { $($variant,)* }

        impl Parameter {
            const COUNT: usize = [$($text,)*].len();

            fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }

            /// As it is spelled on the wire.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

names! {
    GrantType = "grant_type",
    Username = "username",
    Password = "password",
    Realm = "realm",
    ClientId = "client_id",
    ClientSecret = "client_secret",
    ClientAssertion = "client_assertion",
    ClientAssertionType = "client_assertion_type",
    Assertion = "assertion",
    Audience = "audience",
    Resource = "resource",
    Scope = "scope",
    MfaToken = "mfa_token",
    Otp = "otp",
    RecoveryCode = "recovery_code",
    RefreshToken = "refresh_token",
    Token = "token",
    ChallengeType = "challenge_type",
    AuthenticatorId = "authenticator_id",
    OobChannel = "oob_channel",
    OobChannels = "oob_channels",
    OobCode = "oob_code",
    BindingCode = "binding_code",
    PhoneNumber = "phone_number",
    Email = "email",
    AuthenticatorTypes = "authenticator_types",
    // A misprint of the published documentation, which clients have copied.
    AuthenticationTypes = "authentication_types",
    Algorithm = "algorithm",
    Digits = "digits",
    Name = "name",
    Preferred = "preferred",
    AcrValues = "acr_values",
    MaxAge = "max_age",
    DeviceToken = "device_token",
    RememberDevice = "remember_device",
}

/// A value as it came.
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(u64),
    Boolean(bool),
    /// An array of strings.
    List(Vec<Cow<'a, str>>),
    /// Anything else JSON has.
    Other,
}

/// The parameters of one body.
pub(crate) struct Params<'a> {
    values: [Option<Value<'a>>; Parameter::COUNT],
    seen: u64,
}

impl<'a> Params<'a> {
    fn empty() -> Self {
        const { assert!(Parameter::COUNT <= 64, "`seen` has one bit for each name") };
        Self { values: [const { None }; Parameter::COUNT], seen: 0 }
    }

    /// Parses by content type; where none is given, or the one that `curl -d` sends unasked, by the first byte.
    ///
    /// # Errors
    ///
    /// [`Problem::UnsupportedMediaType`], and what the body itself is refused for.
    pub(crate) fn parse(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::empty());
        }
        let essence = match headers.get(CONTENT_TYPE) {
            None => "",
            Some(value) => {
                let value = value.to_str().map_err(|_| Problem::UnsupportedMediaType)?;
                value.split_once(';').map_or(value, |(essence, _)| essence).trim()
            }
        };
        let is_form = essence.is_empty() || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        // No form begins like that: its encoders write `%7B`.
        let starts_like_json = || body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if essence.eq_ignore_ascii_case("application/json") || (is_form && starts_like_json()) {
            json::parse(body)
        } else if is_form {
            form::parse(body)
        } else {
            Err(Problem::UnsupportedMediaType)
        }
    }

    /// Notes that a parameter has come.
    ///
    /// # Errors
    ///
    /// [`Problem::RepeatedParameter`], even when it was empty before.
    fn mark(&mut self, name: Parameter) -> Result<(), Problem> {
        let bit = 1_u64 << (name as u32);
        if self.seen & bit != 0 {
            return Err(Problem::RepeatedParameter(name.as_str()));
        }
        self.seen |= bit;
        Ok(())
    }

    fn set(&mut self, name: Parameter, value: Value<'a>) {
        if let Some(slot) = self.values.get_mut(name as usize) {
            *slot = Some(value);
        }
    }

    /// The value as it came, also when it is an empty text.
    pub(crate) fn raw(&self, name: Parameter) -> Option<&Value<'a>> {
        self.values.get(name as usize).and_then(Option::as_ref)
    }

    /// A text; the empty one counts as absent.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`].
    pub(crate) fn text(&self, name: Parameter) -> Result<Option<&str>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
            Some(_) => Err(Problem::NotAString(name.as_str())),
        }
    }

    /// A text, owned; empty where it is absent, as protobuf has it.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`].
    pub(crate) fn text_or_empty(&self, name: Parameter) -> Result<String, Problem> {
        Ok(self.text(name)?.unwrap_or_default().to_owned())
    }

    /// A text that must be there.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`], [`Problem::MissingParameter`].
    pub(crate) fn required(&self, name: Parameter) -> Result<String, Problem> {
        self.text(name)?.map(str::to_owned).ok_or(Problem::MissingParameter(name.as_str()))
    }

    /// Words: a text with blanks between them, or an array of texts.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`].
    pub(crate) fn words(&self, name: Parameter) -> Result<Vec<String>, Problem> {
        let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        match self.raw(name) {
            Some(Value::List(texts)) => Ok(texts.iter().flat_map(|text| words(text)).collect()),
            _ => Ok(words(self.text(name)?.unwrap_or_default())),
        }
    }

    /// A number of whole seconds: digits, or a JSON number.
    ///
    /// # Errors
    ///
    /// [`Problem::NotOneOf`].
    pub(crate) fn seconds(&self, name: Parameter) -> Result<Option<i64>, Problem> {
        let seconds = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Text(text)) if text.is_empty() => return Ok(None),
            Some(Value::Integer(number)) => i64::try_from(*number).ok(),
            Some(Value::Text(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Some(_) => None,
        };
        // What protobuf can say: 10,000 years.
        seconds
            .filter(|seconds| *seconds <= 315_576_000_000)
            .map(Some)
            .ok_or(Problem::NotOneOf(name.as_str(), "a whole number of seconds"))
    }

    /// A boolean, as JSON has it or as a word.
    ///
    /// # Errors
    ///
    /// [`Problem::NotABoolean`].
    pub(crate) fn boolean(&self, name: Parameter) -> Result<Option<bool>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(Value::Text(text)) => match &**text {
                "" => Ok(None),
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(Problem::NotABoolean(name.as_str())),
            },
            Some(_) => Err(Problem::NotABoolean(name.as_str())),
        }
    }

    /// A one-time password: a text, or a JSON number that still has all its 6 or 8 digits.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`], [`Problem::MissingParameter`].
    pub(crate) fn code(&self, parameter: Parameter) -> Result<String, Problem> {
        match self.raw(parameter) {
            Some(Value::Integer(number @ (100_000..=999_999 | 10_000_000..=99_999_999))) => Ok(number.to_string()),
            _ => self.required(parameter),
        }
    }

    /// The same where it may be absent.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAString`].
    pub(crate) fn code_or_empty(&self, parameter: Parameter) -> Result<String, Problem> {
        match self.code(parameter) {
            Err(Problem::MissingParameter(_)) => Ok(String::new()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn parse<'a>(content_type: &'static str, body: &'a [u8]) -> Result<Params<'a>, Problem> {
        Params::parse(&headers(content_type), body)
    }

    fn problem(content_type: &'static str, body: &[u8]) -> Problem {
        parse(content_type, body).err().unwrap()
    }

    #[test]
    fn reads_the_same_from_both_formats() {
        let json = br#"{"username":"jos\u00e9 + co","password":"a b+c%","extra":{"a":[1,2]},"scope":null,"realm":""}"#;
        let form = b"username=jos%C3%A9+%2B+co&password=a+b%2Bc%25&extra=1&extra=2&scope=&realm=";
        for params in [parse(JSON, json).unwrap(), parse(FORM, form).unwrap()] {
            assert_eq!(params.text(Parameter::Username).unwrap(), Some("josé + co"));
            assert_eq!(params.text(Parameter::Password).unwrap(), Some("a b+c%"));
            assert_eq!(params.text(Parameter::Scope).unwrap(), None);
            assert_eq!(params.text(Parameter::Realm).unwrap(), None);
            assert_eq!(params.required(Parameter::MfaToken), Err(Problem::MissingParameter("mfa_token")));
        }
    }

    #[test]
    fn a_content_type_may_have_parameters_and_capitals() {
        assert!(parse("Application/JSON; charset=utf-8", b"{}").is_ok());
        assert_eq!(problem("text/plain", b"{}"), Problem::UnsupportedMediaType);
        assert_eq!(problem("application/json-seq", b"{}"), Problem::UnsupportedMediaType);
    }

    #[test]
    fn sniffs_where_no_type_is_given() {
        let none = HeaderMap::new();
        let json = Params::parse(&none, b" \n{\"otp\":\"1\"}").unwrap();
        assert_eq!(json.text(Parameter::Otp).unwrap(), Some("1"));
        let form = Params::parse(&none, b"otp=1").unwrap();
        assert_eq!(form.text(Parameter::Otp).unwrap(), Some("1"));
    }

    #[test]
    fn refuses_what_comes_twice_even_if_empty() {
        let repeated = Problem::RepeatedParameter("grant_type");
        assert_eq!(problem(FORM, b"grant_type=&grant_type=password"), repeated);
        assert_eq!(problem(FORM, b"grant_type=a&x=1&grant%5Ftype=a"), repeated);
        assert_eq!(problem(JSON, br#"{"grant_type":null,"grant_type":"password"}"#), repeated);
        assert_eq!(problem(JSON, br#"{"grant_type":"a","grant\u005ftype":"a"}"#), repeated);
    }

    #[test]
    fn tells_a_wrong_type_by_name_where_it_is_read() {
        for value in ["1", "1.5", "true", "[\"a\"]", "{\"a\":1}", "-1"] {
            let body = format!("{{\"mfa_token\":{value},\"otp\":\"123456\"}}");
            let params = parse(JSON, body.as_bytes()).unwrap();
            assert_eq!(params.text(Parameter::MfaToken), Err(Problem::NotAString("mfa_token")), "{value}");
            assert_eq!(params.code(Parameter::Otp).unwrap(), "123456");
        }
    }

    #[test]
    fn takes_a_number_for_a_code_only_with_all_its_digits() {
        let otp = |value: &str| parse(JSON, format!("{{\"otp\":{value}}}").as_bytes()).unwrap().code(Parameter::Otp);
        assert_eq!(otp("123456").unwrap(), "123456");
        assert_eq!(otp("12345678").unwrap(), "12345678");
        assert_eq!(otp("\"012345\"").unwrap(), "012345");
        for lost in ["12345", "1234567", "0", "123456.0", "-123456", "123456789012345678901234567890"] {
            assert_eq!(otp(lost), Err(Problem::NotAString("otp")), "{lost}");
        }
        assert_eq!(problem(JSON, b"{\"otp\":012345}"), Problem::NotJson);
    }

    #[test]
    fn refuses_bodies_that_are_not_text() {
        assert_eq!(problem(FORM, b"username=\xff"), Problem::NotUtf8);
        assert_eq!(problem(FORM, b"username=%FF"), Problem::NotUtf8);
        assert_eq!(problem(JSON, b"{\"username\":\"\xff\"}"), Problem::NotUtf8);
        assert_eq!(problem(JSON, b"{\"username\":\"\\ud800\"}"), Problem::NotJson);
    }

    #[test]
    fn refuses_json_that_is_no_object() {
        for body in ["[]", "1", "\"a\"", "{", "{}x", "{\"a\":}", "null"] {
            assert_eq!(problem(JSON, body.as_bytes()), Problem::NotJson, "{body}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert_eq!(problem(JSON, deep.as_bytes()), Problem::NotJson);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
            drop(parse(FORM, &body));
            drop(parse(JSON, &body));
            drop(Params::parse(&HeaderMap::new(), &body));
        }

        #[test]
        fn nearly_valid_bodies_do_not_make_it_panic(body in r#"(\{)?("(otp|scope|x)":?(1|"a"|null|\[\]|\{),?){0,5}[}&=%+a-f0-9]{0,9}"#) {
            drop(parse(FORM, body.as_bytes()));
            drop(parse(JSON, body.as_bytes()));
        }

        #[test]
        fn every_text_survives_both_formats(text in "\\PC{1,40}") {
            let form = form_urlencoded::Serializer::new(String::new()).append_pair("password", &text).finish();
            let json = serde_json::json!({ "password": text }).to_string();
            let form = parse(FORM, form.as_bytes()).unwrap();
            let json = parse(JSON, json.as_bytes()).unwrap();
            prop_assert_eq!(form.text(Parameter::Password).unwrap(), Some(&*text));
            prop_assert_eq!(json.text(Parameter::Password).unwrap(), Some(&*text));
        }
    }
}
