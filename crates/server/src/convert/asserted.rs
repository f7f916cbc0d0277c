//! What a client says of a person's login.

use countersign_domain::{
    grant::asserted::{FIRST_FACTORS, MAX_METHODS, is_picture_address},
    login_name::MAX_CHARS,
    time::Timestamp,
    usecase::issue_token::AssertedSubject,
    user::{Email, Profile, is_notification_address},
};
use countersign_proto::v1;

use super::{Violations, given};

/// Who has logged in; what is wrong with it is noted.
pub(super) fn subject(grant: v1::AssertedLoginGrant, violations: &mut Violations) -> AssertedSubject {
    let subject = violations.required("subject", grant.subject);
    violations.at_most("subject", &subject, MAX_CHARS);
    let time = grant.auth_time.unwrap_or_default();
    if grant.auth_time.is_none() {
        violations.add("auth_time", "Missing required parameter: auth_time".into());
    } else if !(0..1_000_000_000).contains(&time.nanos) {
        violations.add("auth_time", "auth_time.nanos must be 0 to 999999999".into());
    }
    let at = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000);
    let known = |method: &String| FIRST_FACTORS.contains(&method.as_str());
    if grant.methods.is_empty() || grant.methods.len() > MAX_METHODS || !grant.methods.iter().all(known) {
        let names = FIRST_FACTORS.join(", ");
        violations.add("methods", format!("methods must be one to {MAX_METHODS} of {names}"));
    }
    let mut text = |field, value: String, most| {
        violations.at_most(field, &value, most);
        violations.printable(field, &value);
        given(value)
    };
    let email = grant.email.and_then(|email| {
        let verified = email.verified;
        text("email", email.address, MAX_CHARS).map(|address| Email { address, verified })
    });
    let profile = Profile {
        name: text("name", grant.name, 256),
        given_name: text("given_name", grant.given_name, 256),
        family_name: text("family_name", grant.family_name, 256),
        picture: text("picture", grant.picture, 2048),
    };
    if email.as_ref().is_some_and(|email| !is_notification_address(&email.address)) {
        violations.add("email", "email must be an address".into());
    }
    if profile.picture.as_ref().is_some_and(|picture| !is_picture_address(picture)) {
        violations.add("picture", "picture must be an address that begins with https:// or http://".into());
    }
    AssertedSubject { email, profile, subject, at: Timestamp::from_millis(at), methods: grant.methods }
}
