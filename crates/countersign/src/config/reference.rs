//! The reference in `docs/config.md` and the printed default, both from the types.

use serde_json::{Map, Value, json};

use super::{
    Config,
    directory::{ApiConfig, ClientConfig, RealmConfig, UserConfig},
};

const HEAD: &str = "\
# Configuration

<!-- Generated from the types in crates/countersign/src/config by `countersign config-reference`. Do not edit. -->

Settings come in layers: the defaults below, then a TOML file (`--config FILE`, or `COUNTERSIGN_CONFIG`), then environment
variables. The variable of `grpc.listen` is `COUNTERSIGN__GRPC__LISTEN`: `COUNTERSIGN__`, and the path in capitals with `__` for
each dot. A list is one variable in TOML's notation: `COUNTERSIGN__APIS='[{ audience = \"https://api.example.com\" }]'`.

Unknown keys are mistakes. All mistakes are reported at once, each with its path, and the command ends with status 64;
`countersign check-config` does that without starting. `countersign check-config --print-default` prints the file that says what
the defaults say.

A secret is given by value or by file, never both. A file's last line end is not part of it.
";

/// `docs/config.md`.
pub fn markdown() -> String {
    let schema = schemars::schema_for!(Config).to_value();
    let mut out = HEAD.to_owned();
    let defaults = [
        ("clients", to_json(&ClientConfig::default())),
        ("apis", to_json(&ApiConfig::default())),
        ("realms", to_json(&RealmConfig::default())),
        ("users", to_json(&UserConfig::default())),
    ];
    let mut root = to_json(&Config::default());
    for (name, item) in defaults {
        if let Some(list) = root.get_mut(name) {
            *list = json!([item]);
        }
    }
    section(&mut out, &schema, &schema, "", &root);
    out
}

/// A TOML file that says what the defaults say.
///
/// # Errors
///
/// Never, unless a default has no place in TOML.
pub fn default_toml() -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(&Config::default())
}

fn to_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// One table of settings, then the tables within.
fn section(out: &mut String, root: &Value, schema: &Value, path: &str, defaults: &Value) {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut tables = Vec::new();
    let mut opened = false;
    for (name, property) in properties {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let target = resolve(root, property);
        let default = defaults.get(name).unwrap_or(&Value::Null);
        if target.get("properties").is_some() {
            tables.push((place, property, target, default, false));
        } else if let Some(items) = property.get("items").map(|items| resolve(root, items))
            && items.get("properties").is_some()
        {
            tables.push((place, property, items, default.get(0).unwrap_or(&Value::Null), true));
        } else {
            if !opened {
                out.push_str("\n| key | type | default | |\n| --- | --- | --- | --- |\n");
                opened = true;
            }
            row(out, name, property, target, default);
        }
    }
    for (place, property, target, default, list) in tables {
        let heading = if list { format!("[[{place}]]") } else { format!("[{place}]") };
        // The field and its type both have a comment; the longer says more.
        let text = [property, target].into_iter().filter_map(description).max_by_key(String::len).unwrap_or_default();
        out.extend(["\n## `", &heading, "`\n\n", &text, "\n"]);
        section(out, root, target, &place, default);
    }
}

fn row(out: &mut String, name: &str, property: &Value, target: &Value, default: &Value) {
    let mut text = description(property).or_else(|| description(target)).unwrap_or_default().replace("\n\n", "<br>");
    let choices = choices(target);
    for (choice, meaning) in &choices {
        text.extend(["<br>`", choice, "`: ", meaning]);
    }
    let kind = match (choices.is_empty(), property.get("items")) {
        (true, _) => kind(property, target).to_owned(),
        (false, None) => "choice".to_owned(),
        (false, Some(_)) => "list of choices".to_owned(),
    };
    let default = match default {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        value => format!("`{value}`"),
    };
    let text = text.replace('\n', " ").replace('|', "\\|");
    out.extend(["| `", name, "` | ", &kind, " | ", &default, " | ", &text, " |\n"]);
}

fn kind(property: &Value, target: &Value) -> &'static str {
    let schema = if target.get("type").is_some() { target } else { property };
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => "list",
        Some("boolean") => "true or false",
        Some("integer") => "number",
        _ if schema.get("format").and_then(Value::as_str) == Some("secret") => "secret",
        _ => "text",
    }
}

/// The values of an enumeration, each with its meaning. Those of a list's items count too.
fn choices(schema: &Value) -> Vec<(String, String)> {
    let variants = schema.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            Some((variant.get("const")?.as_str()?.to_owned(), description(variant)?.replace('\n', " ")))
        })
        .collect()
}

fn description(schema: &Value) -> Option<String> {
    schema.get("description").and_then(Value::as_str).map(str::to_owned)
}

/// Follows `$ref`, also as the only or the first of several alternatives.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let alternative = || schema.get("anyOf").and_then(|any| any.get(0)).and_then(|first| first.get("$ref"));
    let item = || schema.get("items").and_then(|items| items.get("$ref"));
    let Some(reference) = schema.get("$ref").or_else(alternative).or_else(item).and_then(Value::as_str) else {
        return schema;
    };
    let found = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).unwrap_or(schema);
    // A list of tables is described as a list; a list of choices by its choices.
    if schema.get("items").is_some() && found.get("properties").is_some() { schema } else { found }
}
