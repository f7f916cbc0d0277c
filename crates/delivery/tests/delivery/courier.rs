use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_delivery::{
    courier::{Courier, Line, ProviderError},
    observer::{Observer, Outcome},
    provider::Rendered,
    words::{Words, WordsError},
};
use countersign_domain::{
    message::{Channel, Message},
    port::sender::{ChannelState, SendError, Sender as _},
    testing::ManualClock,
};
use futures_util::future::join_all;

use super::{
    logs::Logs,
    messages::{CODE, English, START, code},
    scripted::{Do, Scripted},
};

/// Counts tries.
#[derive(Default)]
struct Tally(Mutex<Vec<(String, Outcome)>>);

impl Observer for Tally {
    fn tried(&self, channel: Channel, provider: &str, outcome: Outcome) {
        assert_eq!(channel, Channel::Sms);
        self.0.lock().unwrap().push((provider.into(), outcome));
    }
}

struct Rig {
    clock: Arc<ManualClock>,
    tally: Arc<Tally>,
    courier: Courier,
}

/// Text messages go by these providers, called `p0`, `p1` and so on.
fn rig(providers: &[&Arc<Scripted>]) -> Rig {
    let clock = Arc::new(ManualClock::new(START));
    let tally = Arc::new(Tally::default());
    let named = providers.iter().enumerate();
    let lines = named.map(|(n, provider)| Line::new(format!("p{n}"), Arc::clone(provider) as Arc<_>)).collect();
    let courier = Courier::new(Arc::new(English), Arc::clone(&clock) as Arc<_>, Arc::clone(&tally) as Arc<_>)
        .route(Channel::Sms, lines);
    Rig { clock, tally, courier }
}

fn sms() -> Message {
    code(Channel::Sms, "msg_1")
}

#[tokio::test]
async fn the_first_provider_takes_the_message_and_is_named() {
    let (first, second) = (Scripted::always(Do::Send), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p0");
    assert_eq!(first.seen(), [("msg_1".into(), CODE.into())]);
    assert_eq!(second.calls(), 0);
    assert_eq!(*rig.tally.0.lock().unwrap(), [("p0".into(), Outcome::Sent)]);
}

#[tokio::test]
async fn turns_to_the_next_provider_if_the_first_did_not_take_it() {
    let logs = Logs::catch();
    let (first, second) = (Scripted::always(Do::Fail), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p1");
    assert_eq!(first.seen(), second.seen());
    assert_eq!(*rig.tally.0.lock().unwrap(), [("p0".into(), Outcome::Unavailable), ("p1".into(), Outcome::Sent)]);
    assert!(logs.text().contains("status 503"));
    logs.assert_discreet();
}

#[tokio::test]
async fn no_second_provider_after_an_unknown_outcome() {
    let (first, second) = (Scripted::always(Do::Lose), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    assert!(matches!(rig.courier.send(&sms()).await, Err(SendError::Unknown(_))));
    assert_eq!(second.calls(), 0);
}

#[tokio::test]
async fn no_second_provider_after_a_refusal_and_the_error_names_the_first() {
    let (first, second) = (Scripted::always(Do::Refuse), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    let Err(SendError::Refused(source)) = rig.courier.send(&sms()).await else { panic!("not refused") };
    assert_eq!(&*source.downcast::<ProviderError>().unwrap().provider, "p0");
    assert_eq!(second.calls(), 0);
}

#[tokio::test]
async fn asks_again_when_the_first_provider_may_be_asked_again() {
    let retry_after = async |first, second| {
        let (first, second) = (Scripted::always(first), Scripted::always(second));
        match rig(&[&first, &second]).courier.send(&sms()).await {
            Err(SendError::Unavailable { retry_after, .. }) => retry_after,
            other => panic!("{other:?}"),
        }
    };
    let wait = |seconds| Do::FailFor(Duration::from_secs(seconds));
    assert_eq!(retry_after(wait(60), wait(30)).await, Some(Duration::from_secs(30)));
    assert_eq!(retry_after(wait(60), Do::Fail).await, None);
}

#[tokio::test]
async fn the_breaker_opens_after_ten_failures_and_half_opens_after_ten_seconds() {
    let (first, second) = (Scripted::always(Do::Fail), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    for _ in 0..12 {
        assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p1");
    }
    assert_eq!(first.calls(), 10);

    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p1");
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p1");
    assert_eq!(first.calls(), 11, "one call found out that it still fails");

    first.turn_to(Do::Send);
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p0");
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p0");
}

#[tokio::test]
async fn unknown_outcomes_open_the_breaker_and_what_is_about_one_recipient_does_not() {
    for (what, calls, state) in
        [(Do::Lose, 10, ChannelState::Down), (Do::Refuse, 40, ChannelState::Up), (Do::Defer, 40, ChannelState::Up)]
    {
        let provider = Scripted::always(what);
        let rig = rig(&[&provider]);
        for _ in 0..40 {
            assert!(rig.courier.send(&sms()).await.is_err());
        }
        assert_eq!((provider.calls(), rig.courier.state(Channel::Sms)), (calls, state), "{what:?}");
    }
}

#[tokio::test]
async fn a_recipient_that_cannot_be_reached_closes_no_breaker() {
    for what in [Do::Refuse, Do::Defer] {
        let provider = Scripted::always(Do::Fail);
        let rig = rig(&[&provider]);
        for _ in 0..10 {
            rig.courier.send(&sms()).await.unwrap_err();
        }
        rig.clock.advance(Duration::from_secs(10));
        provider.turn_to(what);
        rig.courier.send(&sms()).await.unwrap_err();
        provider.turn_to(Do::Fail);
        for _ in 0..5 {
            rig.courier.send(&sms()).await.unwrap_err();
        }
        assert_eq!(provider.calls(), 12, "{what:?}: the next call finds out, and no other is made");
    }
}

#[tokio::test]
async fn a_message_that_waits_for_its_recipient_holds_up_no_channel() {
    for (what, is_open) in [(Do::Send, true), (Do::Defer, true), (Do::Fail, false), (Do::Lose, false)] {
        let rig = rig(&[&Scripted::always(what)]);
        let sent = rig.courier.send(&sms()).await;
        assert_eq!(rig.courier.last_sent(Channel::Sms), is_open.then_some(START), "{what:?}: {sent:?}");
    }
}

#[tokio::test]
async fn turns_to_the_next_provider_if_the_first_cannot_reach_the_recipient_now() {
    let (first, second) = (Scripted::always(Do::Defer), Scripted::always(Do::Send));
    let rig = rig(&[&first, &second]);
    assert_eq!(&*rig.courier.send(&sms()).await.unwrap(), "p1");
    assert_eq!(*rig.tally.0.lock().unwrap(), [("p0".into(), Outcome::Deferred), ("p1".into(), Outcome::Sent)]);
}

#[tokio::test]
async fn a_channel_is_absent_without_providers_and_down_while_all_pause() {
    let (first, second) = (Scripted::always(Do::Fail), Scripted::always(Do::Fail));
    let rig = rig(&[&first, &second]);
    assert_eq!(rig.courier.state(Channel::Email), ChannelState::Absent);
    assert_eq!(rig.courier.state(Channel::Sms), ChannelState::Up);
    for _ in 0..10 {
        assert!(matches!(rig.courier.send(&sms()).await, Err(SendError::Unavailable { .. })));
    }
    assert_eq!(rig.courier.state(Channel::Sms), ChannelState::Down);
    assert!(matches!(rig.courier.send(&sms()).await, Err(SendError::Unavailable { .. })));
    assert_eq!(first.calls(), 10);
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(rig.courier.state(Channel::Sms), ChannelState::Up);
}

#[tokio::test]
async fn a_channel_without_providers_sends_nothing() {
    let rig = rig(&[]);
    assert!(matches!(
        rig.courier.send(&code(Channel::Email, "msg_1")).await,
        Err(SendError::Unavailable { retry_after: None, .. })
    ));
}

#[tokio::test]
async fn a_message_without_words_is_refused_and_counts_against_nobody() {
    struct Speechless;
    impl Words for Speechless {
        fn render(&self, _message: &Message) -> Result<Rendered, WordsError> {
            Err("no template".into())
        }
    }
    let provider = Scripted::always(Do::Send);
    let line = Line::new("p0", Arc::clone(&provider) as Arc<_>);
    let courier = Courier::new(Arc::new(Speechless), Arc::new(ManualClock::new(START)), Arc::new(()))
        .route(Channel::Sms, vec![line]);
    assert!(matches!(courier.send(&sms()).await, Err(SendError::Refused(_))));
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn never_more_than_twenty_messages_are_in_flight_at_one_provider() {
    let provider = Scripted::always(Do::Wait);
    let rig = rig(&[&provider]);
    let messages: Vec<_> = (0..40).map(|n| code(Channel::Sms, &format!("msg_{n}"))).collect();
    let sends = join_all(messages.iter().map(|message| rig.courier.send(message)));
    let watch = async {
        // All that may be inside are, before the first is let go.
        while provider.inside() < 20 {
            tokio::task::yield_now().await;
        }
        provider.gate.add_permits(40);
    };
    let (results, ()) = tokio::join!(sends, watch);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(provider.calls(), 40);
    assert_eq!(provider.most_inside(), 20);
}

#[tokio::test]
async fn one_provider_of_two_channels_has_one_breaker() {
    let provider = Scripted::always(Do::Fail);
    let line = Line::new("both", Arc::clone(&provider) as Arc<_>);
    let courier = Courier::new(Arc::new(English), Arc::new(ManualClock::new(START)), Arc::new(()))
        .route(Channel::Sms, vec![Arc::clone(&line)])
        .route(Channel::Voice, vec![line]);
    for _ in 0..10 {
        assert!(courier.send(&sms()).await.is_err());
    }
    assert_eq!(courier.state(Channel::Voice), ChannelState::Down);
}
