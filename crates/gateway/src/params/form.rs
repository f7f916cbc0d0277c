//! `application/x-www-form-urlencoded` (the URL standard, section 5.1), except that text must be UTF-8.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::{Parameter, Params, Value};
use crate::oauth_error::Problem;

pub(super) fn parse(body: &[u8]) -> Result<Params<'_>, Problem> {
    let body = std::str::from_utf8(body).map_err(|_| Problem::NotUtf8)?;
    let mut params = Params::empty();
    for pair in body.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = Parameter::parse(&decode(name)?) else { continue };
        params.mark(name)?;
        params.set(name, Value::Text(decode(value)?));
    }
    Ok(params)
}

/// Undoes the encoding; borrows where there was none.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    if !spaced.contains('%') {
        return Ok(spaced);
    }
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().map_err(|_| Problem::NotUtf8)?;
    Ok(Cow::Owned(decoded.into_owned()))
}
