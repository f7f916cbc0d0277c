//! Holds every answer against the `OpenAPI` document the server itself serves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The document, and the validators made of it so far.
pub struct OpenApi {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl OpenApi {
    /// Reads the document.
    pub fn new(document: Value) -> Self {
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "OpenAPI 3.1");
        Self { document, validators: Mutex::default() }
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Panics unless the answer to `method path` is one the document describes. Paths and methods it does not know must be
    /// refused with 404 or 405.
    pub fn check_answer(&self, method: &str, path: &str, status: u16, content_type: Option<&str>, body: &[u8]) {
        let place = format!("{method} {path} -> {status}");
        let Some(operation) = self.operation(method, path) else {
            assert!(matches!(status, 404 | 405 | 204 | 400), "{place}: not in the document");
            return;
        };
        let responses = operation["responses"].as_object().expect("an operation has responses");
        let class = format!("{}XX", status / 100);
        let response = responses
            .get(&status.to_string())
            .or_else(|| responses.get(&class))
            .or_else(|| responses.get("default"))
            .unwrap_or_else(|| panic!("{place}: the document knows no such answer"));
        let response = self.resolve(response);
        let Some(content) = response["content"].as_object() else {
            assert!(body.is_empty(), "{place}: the document says there is no body");
            return;
        };
        let essence = |media: &str| media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let media = essence(content_type.unwrap_or_default());
        let shape = content.iter().find(|(known, _)| essence(known) == media);
        let (_, shape) = shape.unwrap_or_else(|| panic!("{place}: {media:?} is not in the document"));
        if media == "application/json" {
            let value: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{place}: {error}"));
            self.validate(&place, &shape["schema"], &value);
        }
    }

    /// Panics unless `body`, which the server accepted, is a request the document describes.
    pub fn check_request(&self, method: &str, path: &str, body: &Value) {
        let Some(operation) = self.operation(method, path) else { return };
        let request = self.resolve(&operation["requestBody"]);
        let contents = request["content"].as_object().expect("an operation that takes a body says so");
        let json = contents.iter().find(|(media, _)| media.starts_with("application/json"));
        let (_, shape) = json.unwrap_or_else(|| panic!("{method} {path}: no JSON request in the document"));
        let schema = &shape["schema"];
        self.validate(&format!("{method} {path} request"), schema, body);
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.document["paths"].as_object().expect("the document has paths");
        let fits = |template: &str| {
            let (mut asked, mut known) = (path.split('/'), template.split('/'));
            loop {
                match (asked.next(), known.next()) {
                    (None, None) => return true,
                    (Some(_), Some(known)) if known.starts_with('{') => {}
                    (Some(asked), Some(known)) if asked == known => {}
                    _ => return false,
                }
            }
        };
        let found = paths.iter().find(|(template, _)| fits(template))?;
        found.1.get(method.to_ascii_lowercase())
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("references stay inside the document");
                self.resolve(self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }

    fn validate(&self, place: &str, schema: &Value, value: &Value) {
        let key = schema.to_string();
        let known = self.validators.lock().unwrap().get(&key).cloned();
        let validator = known.unwrap_or_else(|| {
            let mut root = Map::new();
            root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
            root.insert("components".into(), self.document["components"].clone());
            root.insert("allOf".into(), json!([schema]));
            let validator = jsonschema::validator_for(&Value::Object(root)).expect("the schema is one");
            let validator = Arc::new(validator);
            self.validators.lock().unwrap().insert(key, Arc::clone(&validator));
            validator
        });
        let wrong: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{place} is not what /openapi.json says: {wrong:?} in {value}");
    }
}
