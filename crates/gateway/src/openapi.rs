//! The `OpenAPI` 3.1 document, written by hand and held to the truth by tests.

use bytes::Bytes;
use serde_json::{Value, json};

/// The document as it is in the source.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The document of a deployment: its `servers` name the issuer.
pub(crate) fn for_issuer(issuer: &str) -> Bytes {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    if let Some(document) = document.as_object_mut() {
        // Paths begin with a slash of their own.
        document.insert("servers".to_owned(), json!([{ "url": issuer.trim_end_matches('/') }]));
    }
    Bytes::from(document.to_string())
}
