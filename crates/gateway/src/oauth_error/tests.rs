#![allow(clippy::unwrap_used)]
use std::{collections::HashMap, fmt::Write as _};

use tonic_types::ErrorDetails;

use super::*;

const PLACES: [Place; 12] = [
    Place::PasswordGrant,
    Place::OtpGrant,
    Place::OobGrant,
    Place::RecoveryCodeGrant,
    Place::RefreshGrant,
    Place::Revocation,
    Place::Introspection,
    Place::Challenge,
    Place::Authenticators,
    Place::Authenticator,
    Place::UserInfo,
    Place::Open,
];

const AUTH0: Style =
    Style { client: ClientErrorStyle::AccessDenied, not_enrolled: NotEnrolledStyle::UnsupportedChallengeType };
const STANDARD: Style =
    Style { client: ClientErrorStyle::InvalidClient, not_enrolled: NotEnrolledStyle::AssociationRequired };

fn line(Row { status, error, description }: Row) -> String {
    format!("{status} {error}: {description}")
}

#[test]
fn the_table_of_the_services() {
    let mut table = String::new();
    for reason in (0..).map_while(|number| ErrorReason::try_from(number).ok()) {
        writeln!(table, "{}", reason.as_str_name()).unwrap();
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for place in PLACES {
            let row = row(reason, place, AUTH0);
            let mut text = line(row);
            if let Some(header) = challenge_header(row.error, place) {
                write!(text, " [WWW-Authenticate: {header}]").unwrap();
            }
            match lines.iter_mut().find(|(known, _)| *known == text) {
                Some((_, places)) => places.push(format!("{place:?}")),
                None => lines.push((text, vec![format!("{place:?}")])),
            }
        }
        for (text, places) in lines {
            let places = if places.len() == PLACES.len() { "everywhere".to_owned() } else { places.join(", ") };
            writeln!(table, "  {text}\n    at {places}").unwrap();
        }
        let switched = row(reason, Place::Challenge, STANDARD);
        if switched != row(reason, Place::Challenge, AUTH0) {
            writeln!(table, "  by switch {}", line(switched)).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_table_of_the_gateway() {
    let problems = [
        Problem::NotFound,
        Problem::MethodNotAllowed,
        Problem::BodyTooLarge,
        Problem::BodyTooSlow,
        Problem::BodyBroken,
        Problem::UnsupportedMediaType,
        Problem::NotUtf8,
        Problem::NotJson,
        Problem::RepeatedParameter("grant_type"),
        Problem::MissingParameter("grant_type"),
        Problem::NotAString("otp"),
        Problem::NotABoolean("preferred"),
        Problem::NotOneOf("digits", "6 or 8"),
        Problem::NothingToChange,
        Problem::UnsupportedGrantType("client_credentials".into()),
        Problem::TwoClientAuthentications,
        Problem::ClientMismatch,
        Problem::DeadlineExceeded,
    ];
    let mut table = String::new();
    for problem in problems {
        let Row { status, error, description } = problem.row();
        let description = fill(description, |name| problem.value(name));
        writeln!(table, "{}\n  {status} {error}: {description}", problem.outcome()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn values_in_texts_are_cut_and_cleaned() {
    let long = "x".repeat(300);
    assert_eq!(fill("a {v}.", |_| Some(&long)), format!("a {}.", "x".repeat(200)));
    assert_eq!(fill("a {v}.", |_| Some("b\"\\\n\u{7f}é c")), "a b c.");
    assert_eq!(fill("a {v}.", |_| None), "a .");
    assert_eq!(fill("{v}", |_| Some("only")), "only");
    assert!(matches!(fill("fixed", |_| None), Cow::Borrowed("fixed")));
}

fn service(status: tonic::Status) -> Refused {
    let Refusal::Service(refused) = Refusal::from(status) else { panic!("a service's refusal") };
    *refused
}

#[test]
fn reads_the_details_of_a_status() {
    let metadata = HashMap::from([("limit".to_owned(), "10".to_owned())]);
    let mut details = ErrorDetails::with_error_info("TOO_MANY_ATTEMPTS", "countersign", metadata);
    details.set_retry_info(Some(Duration::from_secs(7)));
    details.add_bad_request_violation("otp", "first").add_bad_request_violation("otp", "second");
    let refused = service(tonic::Status::with_error_details(Code::ResourceExhausted, "", details));
    assert!(refused.reason == ErrorReason::TooManyAttempts);
    assert_eq!(refused.metadata["limit"], "10");
    assert_eq!(refused.violation.as_deref(), Some("first"));
    assert_eq!(refused.retry_delay, Some(Duration::from_secs(7)));
}

#[test]
fn a_status_without_our_details_is_never_the_callers_fault() {
    for (code, reason) in [
        (Code::Unavailable, ErrorReason::Overloaded),
        (Code::DeadlineExceeded, ErrorReason::Overloaded),
        (Code::ResourceExhausted, ErrorReason::Overloaded),
        (Code::InvalidArgument, ErrorReason::Internal),
        (Code::Unauthenticated, ErrorReason::Internal),
        (Code::Unknown, ErrorReason::Internal),
    ] {
        assert!(service(tonic::Status::new(code, "secret cause")).reason == reason, "{code}");
    }
    let foreign = ErrorDetails::with_error_info("USER_BLOCKED", "elsewhere", HashMap::new());
    let status = tonic::Status::with_error_details(Code::PermissionDenied, "", foreign);
    assert!(service(status).reason == ErrorReason::Internal);
}
