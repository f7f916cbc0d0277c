//! The pages behind links in mail. No script, nothing from elsewhere, nothing that remembers.

mod words;

use axum::{body::Body, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};

use self::words::Words;
use crate::shape::Moment;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The style of every page. The policy below holds its digest: whoever changes one changes the other.
const STYLE: &str = "body{margin:0;padding:1.5em;font-family:system-ui,sans-serif;line-height:1.5}main{max-width:34em;margin:0 auto}button{font:inherit;padding:.6em 1em}";

/// Nothing but that style, no frame around the page, and a form that goes nowhere else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-0PLhBBG5onO0KCvkxdRE1FQH0Lxq0iaxa1uXs5awN8I='; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);

/// What a page says.
pub(crate) enum Page<'a> {
    /// What was added, and a button that removes it.
    Question {
        /// The name of the deployment.
        app_name: &'a str,
        /// What was added; empty if it has no name. Chosen by whoever added it.
        authenticator: &'a str,
        /// When.
        added: Option<Moment>,
    },
    /// It was removed.
    Removed,
    /// The link is of no use.
    Dead,
    /// Something failed; later it may not.
    Trouble,
}

/// The page in the language of its reader.
pub(crate) fn page(status: StatusCode, headers: &HeaderMap, page: &Page<'_>) -> Response {
    let words = Words::of(headers);
    let mut response = Response::new(Body::from(document(words, page)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_LANGUAGE, HeaderValue::from_static(words.language)),
        (CONTENT_SECURITY_POLICY, POLICY),
        // The address of the page holds the token.
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_ROBOTS_TAG, HeaderValue::from_static("noindex")),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}

fn document(words: &Words, page: &Page<'_>) -> String {
    let (language, title) = (words.language, words.title);
    let body = match page {
        Page::Question { app_name, authenticator, added } => question(words, app_name, authenticator, added.as_ref()),
        Page::Removed => format!("<p>{}</p>\n<p>{}</p>", words.removed, words.next),
        Page::Dead => format!("<p>{}</p>\n<p>{}</p>", words.dead, words.unknown),
        Page::Trouble => format!("<p>{}</p>", words.trouble),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

/// The form has no address: it goes to the page's own, whatever host that was reached by.
fn question(words: &Words, app_name: &str, authenticator: &str, added: Option<&Moment>) -> String {
    let app_name = escaped(app_name);
    // Whoever chose the name may have put marks in it that turn text around; they end with it.
    let what = if authenticator.is_empty() {
        String::new()
    } else {
        format!("\n<p><strong><bdi>{}</bdi></strong></p>", escaped(authenticator))
    };
    let when = added.map_or_else(String::new, |added| format!("\n<p><time>{}</time></p>", added.to_minute()));
    let Words { added, question, button, ignore, .. } = words;
    format!(
        "<p><bdi>{app_name}</bdi></p>\n<p>{added}</p>{what}{when}\n<p>{question}</p>\n\
         <form method=\"post\"><button type=\"submit\">{button}</button></form>\n<p>{ignore}</p>"
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            symbol => safe.push(symbol),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_nothing_else() {
        let page = Page::Question { app_name: "A & B", authenticator: "<script src='x'>\"", added: None };
        let html = document(Words::of(&HeaderMap::new()), &page);
        assert!(html.contains("A &amp; B"), "{html}");
        assert!(html.contains("<bdi>&lt;script src=&#39;x&#39;&gt;&quot;</bdi>"), "{html}");
        assert!(!html.contains("<script"), "{html}");
    }
}
