//! What goes wrong behind the services, and what of it is told.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_domain::opaque::{self, TokenKind};
use countersign_proto::v1::{
    IntrospectTokenRequest, IssueTokenRequest, RefreshTokenGrant, RevokeTokenRequest, issue_token_request::Grant,
};
use countersign_server::DEADLINE;
use countersign_telemetry::{Telemetry, TelemetryConfig};
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::{
    ports::Lookup,
    rig::{Refused, Rig, asking, client, offering, password},
};

const CANARY: &str = "canary-7f3a";

#[tokio::test]
async fn a_store_that_does_not_answer_is_told_without_its_words() {
    let rig = Rig::new().await;
    rig.ports.lookup(Lookup::Fails(CANARY));
    let mut delays = Vec::new();
    for _ in 0..6 {
        let refused = rig.refused(password()).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        assert!(!refused.text.contains(CANARY));
        delays.push(refused.retry_delay().unwrap());
    }
    assert!(delays.iter().all(|delay| (1..=3).contains(&delay.as_secs())), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "who was refused together must not come back together");
}

#[tokio::test]
async fn damage_and_panics_are_internal_and_say_no_more() {
    let rig = Rig::new().await;
    for lookup in [Lookup::IsCorrupt(CANARY), Lookup::Panics(CANARY)] {
        rig.ports.lookup(lookup);
        let refused = rig.refused(password()).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "INTERNAL"), "{lookup:?}");
        assert!(!refused.text.contains(CANARY));
        assert_eq!(refused.retry_delay(), None);
    }
    // Nothing is left broken.
    rig.ports.lookup(Lookup::Finds);
    assert_eq!(rig.refused(password()).await.reason, "CREDENTIALS_REJECTED");
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_revoked_refreshed_or_active() {
    let rig = Rig::new().await;
    let token = opaque::of_bytes(TokenKind::Refresh, &[7; 52]).expose().clone();
    let revocation = RevokeTokenRequest { client: Some(client()), token: token.clone(), end_user: None };
    let question = IntrospectTokenRequest { client: Some(asking()), token: token.clone(), end_user: None };
    let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token });
    for refused in [
        Refused::from(rig.token().revoke_token(revocation).await.map(drop).unwrap_err()),
        Refused::from(rig.token().introspect_token(question).await.map(drop).unwrap_err()),
        rig.refused(offering(grant)).await,
    ] {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        assert!(refused.retry_delay().is_some());
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn a_cause_is_logged_once_and_as_loud_as_it_matters() {
    let log = Log::default();
    let writer = log.clone();
    let config = TelemetryConfig { filter: "debug".into(), ..TelemetryConfig::default() };
    let (dispatch, _telemetry) = Telemetry::build(&config, move || writer.clone()).unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let rig = Rig::new().await;
    for (lookup, level, times) in [
        (Lookup::IsCorrupt(CANARY), "ERROR", 1),
        (Lookup::Fails(CANARY), "WARN", 1),
        // A message that was put together may hold anything.
        (Lookup::Panics(CANARY), "ERROR", 0),
        (Lookup::Finds, "DEBUG", 0),
    ] {
        log.take();
        rig.ports.lookup(lookup);
        rig.refused(password()).await;
        let lines = log.take();
        assert_eq!(lines.matches(CANARY).count(), times, "{lines}");
        assert!(lines.contains(&format!("\"level\":\"{level}\"")), "{lines}");
    }
}

#[tokio::test]
async fn a_throttle_says_its_size_and_when_to_come_back() {
    let rig = Rig::new().await;
    rig.ports.deny_for(Duration::from_secs(61));
    let refused = rig.refused(password()).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ACCOUNT_LOCKED"));
    assert_eq!((refused.metadata("limit"), refused.metadata("remaining")), (Some("10"), Some("0")));
    assert_eq!(refused.retry_delay(), Some(Duration::from_secs(61)));
}

fn within(time: Duration) -> Request<IssueTokenRequest> {
    let mut request = Request::new(password());
    request.set_timeout(time);
    request
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_the_callers_time_and_never_after_ours() {
    let rig = Rig::new().await;
    rig.ports.lookup(Lookup::Waits);
    let second = Duration::from_secs(1);
    for (request, longest) in
        [(within(second), second), (within(second * 60), DEADLINE), (Request::new(password()), DEADLINE)]
    {
        let begun = Instant::now();
        let refused = rig.refused(request).await;
        assert_eq!(refused.code, Code::DeadlineExceeded);
        let took = begun.elapsed();
        assert!(longest <= took && took < longest + Duration::from_millis(100), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_done() {
    let rig = Rig::new().await;
    rig.ports.lookup(Lookup::Waits);
    assert_eq!(rig.refused(within(Duration::from_secs(1))).await.code, Code::DeadlineExceeded);
    let mut token = rig.token();
    let gone = tokio::time::timeout(Duration::from_secs(1), token.issue_token(password())).await;
    assert!(gone.is_err());
    rig.ports.release(2);
    let asked = tokio::time::timeout(Duration::from_secs(60), rig.ports.asked.acquire_many(1)).await;
    assert!(asked.is_err(), "no attempt was taken and no password was looked at");
    assert!(rig.ports.buckets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_passwords_is_shed_and_leaves_room_for_second_factors() {
    let rig = Rig::new().await;
    rig.ports.lookup(Lookup::Waits);
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..384 {
        let mut token = rig.token();
        flood.spawn(async move { token.issue_token(password()).await.map(drop) });
    }
    rig.ports.waiting.acquire_many(384).await.unwrap().forget();
    let begun = Instant::now();
    let shed = rig.refused(password()).await;
    assert_eq!((shed.code, shed.reason.as_str()), (Code::Unavailable, "OVERLOADED"));
    assert!((1..=3).contains(&shed.retry_delay().unwrap().as_secs()));
    assert_eq!(begun.elapsed(), Duration::ZERO, "shedding does not wait");

    let grant = countersign_proto::v1::OtpGrant { mfa_token: "t".into(), otp: "123456".into() };
    let otp = crate::rig::offering(countersign_proto::v1::issue_token_request::Grant::Otp(grant));
    assert_eq!(rig.refused(otp).await.reason, "MFA_TOKEN_INVALID");

    rig.ports.release(384);
    while let Some(answer) = flood.join_next().await {
        assert_eq!(Refused::from(answer.unwrap().unwrap_err()).reason, "CREDENTIALS_REJECTED");
    }
}
