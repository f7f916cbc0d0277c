use std::fmt;

use countersign_telemetry::LogFormat;

use crate::lines::Lines;

const CANARY: &str = "canary-7f3a";

fn log_secrets() {
    tracing::info!(otp = CANARY, http.request.header.authorization = %CANARY, "a careless line");
    tracing::info!(body = ?CANARY, phone_number = CANARY, kept = "yes", "another one");
}

#[test]
fn a_json_line_strikes_out_fields_by_name() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    log_secrets();
    assert!(!lines.text().contains(CANARY), "{}", lines.text());
    assert_eq!(lines.json()[0]["otp"], "[redacted]");
    assert_eq!(lines.json()[1]["kept"], "yes");
}

#[test]
fn a_human_line_strikes_out_fields_by_name() {
    let (lines, _guard) = Lines::catch(LogFormat::Human);
    log_secrets();
    assert!(!lines.text().contains(CANARY), "{}", lines.text());
    assert!(lines.text().contains("INFO another one body=[redacted] phone_number=[redacted] kept=yes\n"));
}

#[test]
fn fields_of_spans_are_not_repeated_on_lines() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    tracing::info_span!("usecase.issue_token", big = CANARY).in_scope(|| tracing::info!("inside"));
    assert_eq!(lines.json()[0]["message"], "inside");
    assert!(!lines.text().contains(CANARY));
}

#[test]
fn no_value_can_begin_a_line_of_its_own() {
    for format in [LogFormat::Json, LogFormat::Human] {
        let (lines, _guard) = Lines::catch(format);
        tracing::info!(client.id = "web\n{\"level\":\"ERROR\"}", "evil {}", "\u{1b}[2J\r\n");
        assert_eq!(lines.text().lines().count(), 1);
        assert!(!lines.text().trim_end().chars().any(char::is_control));
    }
}

#[derive(Debug)]
struct Failure(&'static str, Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    let error = Failure("the store is not available", Some(Box::new(Failure("connection refused", None))));
    tracing::warn!(error = &error as &dyn std::error::Error, "a step failed");
    assert_eq!(lines.json()[0]["error"], "the store is not available: connection refused");
}
