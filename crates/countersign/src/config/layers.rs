//! Puts the layers together, and finds everything that does not fit.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use figment::{
    Figment, Metadata, Profile, Provider,
    error::{Actual, Kind},
    providers::{Format as _, Toml},
    value::{Dict, Map, Value},
};

use super::{Config, check::Checked, mistake::Mistakes, profile::ProfileName};

/// The prefix of variables that are settings.
pub const PREFIX: &str = "COUNTERSIGN__";

/// Environment variables, as values: tests make their own.
pub type Variables = BTreeMap<String, String>;

/// The variables of a process that are text.
pub fn variables(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    vars.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Reads the file at `path`, if one is given, and `variables`, and checks the whole.
///
/// # Errors
///
/// All mistakes, of syntax, shape and sense.
pub fn load(path: Option<&Path>, variables: &Variables) -> Result<Checked, Mistakes> {
    let mut mistakes = Mistakes::new();
    let text = match path.map(|path| (path, std::fs::read_to_string(path))) {
        None => String::new(),
        Some((_, Ok(text))) => text,
        Some((path, Err(error))) => {
            mistakes.add("--config", format!("cannot read {}: {error}", path.display()));
            return Err(mistakes.sorted());
        }
    };
    // What is not TOML says nothing that could be checked.
    let (config, mut mistakes) = shaped(values(&text, variables)?, variables);
    match config.check() {
        Ok(checked) => mistakes.or(checked),
        Err(others) => {
            mistakes.extend_elsewhere(others);
            Err(mistakes.sorted())
        }
    }
}

/// The configuration of `toml` and `variables`, as far as it has the right shape, and what has not.
pub fn parse(toml: &str, variables: &Variables) -> (Config, Mistakes) {
    match values(toml, variables) {
        Ok(values) => shaped(values, variables),
        Err(mistakes) => (Config::default(), mistakes),
    }
}

/// What `toml` and `variables` say, unless that is not TOML.
fn values(toml: &str, variables: &Variables) -> Result<Dict, Mistakes> {
    let figment = Figment::new().merge(Toml::string(toml)).merge(VariableLayer(variables));
    figment.extract().map_err(|error| {
        // Its message shows the line, which may hold a secret. The place is enough.
        let place = error.to_string().lines().next().unwrap_or_default().to_owned();
        let mut mistakes = Mistakes::new();
        mistakes.add("--config", format!("is not TOML: {place}"));
        mistakes
    })
}

/// The configuration that `values` are, as far as they have the right shape, and what has not.
fn shaped(mut values: Dict, variables: &Variables) -> (Config, Mistakes) {
    let mut mistakes = Mistakes::new();
    ProfileName::fill_in(&mut values);
    loop {
        let error = match Value::from(values.clone()).deserialize::<Config>() {
            Ok(config) => return (config, mistakes),
            Err(error) => error,
        };
        // A variable is read as TOML where it is TOML; if that is not what is wanted, its text may be.
        if let Some((name, text)) = variable_of(&error.path, variables)
            && replace_by_text(&mut values, &error.path, text)
        {
            tracing::trace!(name, "read as text");
            continue;
        }
        let source = variable_of(&error.path, variables).map(|(name, _)| format!(" ({name})")).unwrap_or_default();
        mistakes.add(shown(&error.path), format!("{}{source}", described(&error.kind)));
        if !stand_in_at(&mut values, &error) && !drop_at(&mut values, &error.path) {
            return (Config::default(), mistakes);
        }
    }
}

/// The variables as a layer.
struct VariableLayer<'a>(&'a Variables);

impl Provider for VariableLayer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment variables")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for (name, text) in self.0 {
            if let Some(path) = path_of(name) {
                insert(&mut root, &path, value_of(text));
            }
        }
        Ok(Profile::Default.collect(root))
    }
}

/// What a variable says: a value of TOML if it is one, else its text.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .filter(|value| !value.is_datetime())
        .and_then(|value| Value::serialize(value).ok())
        .unwrap_or_else(|| Value::from(text))
}

fn path_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    Some(rest.split("__").map(str::to_ascii_lowercase).collect())
}

fn variable_of<'a>(path: &[String], variables: &'a Variables) -> Option<(&'a str, &'a str)> {
    variables
        .iter()
        .find(|(name, _)| path_of(name).is_some_and(|named| path.starts_with(&named)))
        .map(|(name, text)| (name.as_str(), text.as_str()))
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            dict.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner = dict.entry(key.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Puts `text` at `path` if a value that is not text is there.
fn replace_by_text(dict: &mut Dict, path: &[String], text: &str) -> bool {
    match path {
        [key] => match dict.get_mut(key) {
            Some(value) if !matches!(value, Value::String(..) | Value::Dict(..)) => {
                *value = Value::from(text);
                true
            }
            _ => false,
        },
        [key, rest @ ..] => match dict.get_mut(key) {
            Some(Value::Dict(_, inner)) => replace_by_text(inner, rest, text),
            _ => false,
        },
        [] => false,
    }
}

/// Puts a good item of the same list in the place of a bad one, so that what follows from the others is still found, each at its
/// place. What follows from this one is not told, since its place is known to be wrong.
fn stand_in_at(values: &mut Dict, error: &figment::Error) -> bool {
    let Some((index, list)) = error.path.split_last() else { return false };
    let (Ok(index), Some(Value::Array(_, items))) = (index.parse::<usize>(), value_at(values, list)) else {
        return false;
    };
    let good = match (index.checked_sub(1), &error.kind) {
        // Items are read in their order.
        (Some(before), _) => items.get(before),
        (None, Kind::UnknownVariant(_, known)) => {
            items.iter().find(|item| item.as_str().is_some_and(|text| known.contains(&text)))
        }
        (None, _) => None,
    };
    match (good.cloned(), items.get_mut(index)) {
        (Some(good), Some(bad)) => {
            *bad = good;
            true
        }
        _ => false,
    }
}

fn value_at<'a>(dict: &'a mut Dict, path: &[String]) -> Option<&'a mut Value> {
    let (key, rest) = path.split_first()?;
    rest.iter().try_fold(dict.get_mut(key)?, |value, part| match value {
        Value::Dict(_, inner) => inner.get_mut(part),
        Value::Array(_, items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Removes the innermost key of a table that leads to `path`.
fn drop_at(dict: &mut Dict, path: &[String]) -> bool {
    let Some((key, rest)) = path.split_first() else { return false };
    let below = match dict.get_mut(key) {
        Some(Value::Dict(_, inner)) => drop_at(inner, rest),
        Some(Value::Array(_, items)) => match rest.split_first() {
            Some((index, rest)) => match index.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(Value::Dict(_, inner)) => drop_at(inner, rest),
                _ => false,
            },
            None => false,
        },
        _ => false,
    };
    below || dict.remove(key).is_some()
}

fn shown(path: &[String]) -> String {
    let mut shown = String::new();
    for part in path {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            shown.push('[');
            shown.push_str(part);
            shown.push(']');
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(part);
        }
    }
    shown
}

/// What is wrong, without the value.
fn described(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(_, known) => format!("unknown key; known here: {}", known.join(", ")),
        Kind::UnknownVariant(_, known) => format!("must be one of: {}", known.join(", ")),
        Kind::InvalidType(actual, expected) => format!("must be {}, not {}", wanted(expected), type_of(actual)),
        Kind::InvalidValue(_, expected) if expected == "a duration" => "must be a duration, such as \"10m\"".to_owned(),
        Kind::InvalidValue(_, expected) => format!("must be {}", wanted(expected)),
        Kind::InvalidLength(_, expected) => format!("has the wrong length; must be {expected}"),
        Kind::MissingField(name) => format!("lacks {name}"),
        Kind::Message(message) => message.clone(),
        _ => "has the wrong type or size".to_owned(),
    }
}

/// serde's name of a type, in words.
fn wanted(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a string" | "path string" => "text",
        "a sequence" => "a list",
        "u16" | "u32" | "u64" | "usize" => "a whole number in range",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn type_of(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a number",
        Actual::Float(_) => "a fraction",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "this",
    }
}
