use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use countersign_delivery::{
    bell::Bell,
    courier::{Courier, Line},
    observer::{Ending, Observer},
    provider::{Provider, Rendered},
    worker::{Worker, WorkerPorts},
};
use countersign_domain::{
    message::{Channel, Message, OutboxRow},
    port::{outbox_store::OutboxStore as _, sender::SendError},
    testing::{ManualClock, SeededEntropy},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    logs::Logs,
    messages::{CODE, English, START, code, notice},
    scripted::{Do, Scripted},
    store::{Outbox, ToySealer, waiting},
};

/// What messages in flight may take at the end.
const IN_FLIGHT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Endings(Mutex<Vec<Ending>>);

impl Observer for Endings {
    fn ended(&self, _channel: Channel, ending: Ending, _age: Duration) {
        self.0.lock().unwrap().push(ending);
    }
}

mod handed_over;

/// What the trail says of a message to Ann that ended so.
fn told(event: &'static str, detail: &str) -> [(&'static str, Option<String>, Option<String>); 1] {
    [(event, Some("auth0|ann".into()), Some(detail.into()))]
}

/// An outbox, a provider, and what workers need.
struct Rig {
    outbox: Arc<Outbox>,
    provider: Arc<Scripted>,
    clock: Arc<ManualClock>,
    endings: Arc<Endings>,
    ports: WorkerPorts,
}

impl Rig {
    fn new(messages: &[Message], provider: Arc<Scripted>) -> Self {
        let outbox = Arc::new(Outbox::with(messages));
        let clock = Arc::new(ManualClock::new(START));
        let endings = Arc::new(Endings::default());
        let line = Line::new("gateway", Arc::clone(&provider) as Arc<_>);
        let mut courier = Courier::new(Arc::new(English), Arc::clone(&clock) as Arc<_>, Arc::new(()));
        for channel in Channel::ALL {
            courier = courier.route(channel, vec![Arc::clone(&line)]);
        }
        let ports = WorkerPorts {
            outbox: Arc::clone(&outbox) as Arc<_>,
            sealer: Arc::new(ToySealer),
            sender: Arc::new(courier),
            clock: Arc::clone(&clock) as Arc<_>,
            entropy: Arc::new(SeededEntropy::new(1)),
            observer: Arc::clone(&endings) as Arc<_>,
        };
        Self { outbox, provider, clock, endings, ports }
    }

    fn start(&self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let bell = Bell::new();
        let worker = Worker::new(bell.clone(), self.ports.clone());
        Running { bell, stop, task: tokio::spawn(worker.run(stopped, IN_FLIGHT)) }
    }

    /// Waits until the last try of a message is over: its row is due later, but not because it is leased.
    async fn postponed(&self, id: &str, attempts: u32) -> Duration {
        let lease = self.now().plus(Duration::from_secs(30));
        let waits = |outbox: &Outbox| {
            outbox.row(id).is_some_and(|row| row.attempts == attempts && row.due_at != lease && row.due_at > self.now())
        };
        self.outbox.until(waits).await;
        self.outbox.row(id).unwrap().due_at.since(self.now())
    }

    fn now(&self) -> countersign_domain::time::Timestamp {
        use countersign_domain::port::clock::Clock as _;
        self.clock.now()
    }

    fn endings(&self) -> Vec<Ending> {
        self.endings.0.lock().unwrap().clone()
    }
}

struct Running {
    bell: Bell,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn sms(id: &str) -> Message {
    code(Channel::Sms, id)
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_and_removed() {
    let logs = Logs::catch();
    let rig = Rig::new(&[sms("msg_1"), notice(Channel::Email, "msg_2")], Scripted::always(Do::Send));
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 2);
    assert_eq!(rig.endings(), [Ending::Sent, Ending::Sent]);
    let mut trail = rig.outbox.trail();
    trail.sort();
    let notice = told("message_sent.notice", "for=factor-added; provider=gateway");
    assert_eq!(trail, [notice, told("message_sent.sms", "for=verify; provider=gateway")].concat());
    let text = logs.text();
    for part in ["a message was sent", "msg_1", "msg_2", "channel=\"sms\"", "provider=\"gateway\"", "outcome=\"sent\""]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    logs.assert_discreet();
}

/// From the first look at an empty outbox to the end of a message that came after it.
async fn time_to_send(bell: bool) -> Duration {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let before = tokio::time::Instant::now();
    let running = rig.start();
    rig.outbox.change().await;
    rig.outbox.insert(vec![waiting(&sms("msg_1"))]).await.unwrap();
    if bell {
        running.bell.ring();
    }
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_bell_wakes_the_worker_at_once() {
    assert_eq!(time_to_send(true).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_outbox_is_looked_at_every_second_when_nobody_rings() {
    assert_eq!(time_to_send(false).await, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn every_try_has_the_same_id_and_code_and_waits_longer_than_the_one_before() {
    let logs = Logs::catch();
    let rig = Rig::new(&[sms("msg_1")], Scripted::new(&[Do::Fail, Do::Lose, Do::Fail, Do::Fail], Do::Send));
    let running = rig.start();
    let mut spread = HashSet::new();
    for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let wait = rig.postponed("msg_1", attempt).await;
        let expected = Duration::from_secs(seconds);
        assert!((expected..=expected * 5 / 4).contains(&wait), "try {attempt} waits {wait:?}");
        spread.insert(wait.as_nanos() / u128::from(seconds));
        rig.clock.advance(wait);
        running.bell.ring();
    }
    assert!(spread.len() > 1, "the waits are not spread by chance: {spread:?}");
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.seen(), vec![("msg_1".to_owned(), CODE.to_owned()); 5]);
    assert_eq!(rig.endings(), [Ending::Sent]);
    logs.assert_discreet();
}

#[tokio::test(start_paused = true)]
async fn waits_at_least_as_long_as_the_provider_asks() {
    let asked = Duration::from_secs(45);
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::FailFor(asked)));
    let _running = rig.start();
    assert_eq!(rig.postponed("msg_1", 1).await, asked);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_longer_than_a_code_lives_is_tried_again_within_it() {
    let asked = Duration::from_secs(86_400);
    let rig = Rig::new(&[sms("msg_1")], Scripted::new(&[Do::FailFor(asked)], Do::Send));
    let running = rig.start();
    let wait = rig.postponed("msg_1", 1).await;
    assert_eq!(wait, Duration::from_secs(60));
    rig.clock.advance(wait);
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.endings(), [Ending::Sent]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_removed_after_one_try() {
    let logs = Logs::catch();
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Refuse));
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 1);
    assert_eq!(rig.endings(), [Ending::Refused]);
    assert_eq!(rig.outbox.trail(), told("message_failed.sms", "refused; for=verify; provider=gateway"));
    assert!(logs.text().contains("outcome=\"refused\""));
    logs.assert_discreet();
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_eight_tries() {
    let logs = Logs::catch();
    let mut message = sms("msg_1");
    message.expires_at = START.plus(Duration::from_secs(86_400));
    let rig = Rig::new(&[message], Scripted::always(Do::Fail));
    let running = rig.start();
    for attempt in 1..8 {
        let wait = rig.postponed("msg_1", attempt).await;
        rig.clock.advance(wait);
        running.bell.ring();
    }
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 8);
    assert_eq!(rig.endings(), [Ending::GivenUp]);
    assert_eq!(rig.outbox.trail(), told("message_failed.sms", "tried too often; for=verify; provider=gateway"));
    let text = logs.text();
    assert!(text.lines().any(|line| line.contains("WARN") && line.contains("outcome=\"given_up\"")), "{text}");
    logs.assert_discreet();
}

/// Knows messages again by their ids.
struct Remembering(Arc<Scripted>);

#[async_trait]
impl Provider for Remembering {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        self.0.send(message, words).await
    }

    fn knows_ids(&self, _message: &Message) -> bool {
        true
    }
}

/// How often a provider that does `script`, and loses every message after that, is asked for a message that is good for a day.
async fn asked(script: &[Do], remembers: bool) -> usize {
    let mut message = sms("msg_1");
    message.expires_at = START.plus(Duration::from_secs(86_400));
    let mut rig = Rig::new(&[message], Scripted::new(script, Do::Lose));
    if remembers {
        let line = Line::new("hook", Arc::new(Remembering(Arc::clone(&rig.provider))) as Arc<_>);
        let courier = Courier::new(Arc::new(English), Arc::clone(&rig.clock) as Arc<_>, Arc::new(()));
        rig.ports.sender = Arc::new(courier.route(Channel::Sms, vec![line]));
    }
    for attempt in 1.. {
        // Another worker each time: none must remember what the one before has seen.
        let running = rig.start();
        let over =
            |outbox: &Outbox| outbox.row("msg_1").is_none_or(|row| row.attempts == attempt && row.due_at > rig.now());
        rig.outbox.until(over).await;
        running.stop.send(true).unwrap();
        running.task.await.unwrap();
        if rig.outbox.row("msg_1").is_none() {
            break;
        }
        rig.clock.set(rig.outbox.row("msg_1").unwrap().due_at);
    }
    assert_eq!(rig.endings(), [Ending::GivenUp]);
    rig.provider.calls()
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_a_second_unknown_outcome_unless_the_provider_knows_the_id() {
    assert_eq!(asked(&[], false).await, 2);
    assert_eq!(asked(&[Do::Fail, Do::Lose, Do::Fail, Do::Defer], false).await, 5);
    assert_eq!(asked(&[Do::Panic], false).await, 2, "nobody knows either");
    assert_eq!(asked(&[], true).await, 8);
}

#[tokio::test(start_paused = true)]
async fn a_notice_of_unknown_outcome_is_tried_once_more_and_late() {
    let mut long = notice(Channel::Email, "msg_1");
    long.expires_at = START.plus(Duration::from_secs(72 * 3600));
    let rig = Rig::new(&[long], Scripted::always(Do::Lose));
    let running = rig.start();
    let wait = rig.postponed("msg_1", 1).await;
    assert_eq!(wait, Duration::from_secs(900));
    rig.clock.advance(wait);
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!((rig.provider.calls(), rig.endings()), (2, vec![Ending::GivenUp]));
    assert_eq!(rig.outbox.trail(), told("message_failed.notice", "in doubt; for=factor-added; provider=gateway"));
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_tried_until_it_expires_and_survives_an_outage() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let mut long = notice(Channel::Email, "msg_1");
    long.expires_at = START.plus(hours(72));
    let rig = Rig::new(&[long], Scripted::always(Do::Fail));
    let running = rig.start();
    let mut tries = 0;
    while rig.outbox.row("msg_1").is_some() {
        tries += 1;
        let wait = rig.postponed("msg_1", tries).await;
        assert!(wait <= Duration::from_secs(900), "try {tries} waits {wait:?}");
        rig.clock.advance(wait);
        if rig.now() > START.plus(hours(71)) {
            break;
        }
        running.bell.ring();
    }
    assert!(tries > 280, "{tries} tries");
    assert!(rig.endings().is_empty(), "it still waits");
    rig.clock.set(START.plus(hours(72)).minus(Duration::from_secs(1)));
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.endings(), [Ending::GivenUp]);
}

#[tokio::test(start_paused = true)]
async fn gives_up_when_the_next_try_would_come_too_late() {
    let mut message = sms("msg_1");
    message.expires_at = START.plus(Duration::from_secs(2));
    let rig = Rig::new(&[message], Scripted::always(Do::FailFor(Duration::from_secs(2))));
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 1);
    assert_eq!(rig.endings(), [Ending::GivenUp]);
    assert_eq!(rig.outbox.trail(), told("message_failed.sms", "expired; for=verify; provider=gateway"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_try_of_one_message() {
    let logs = Logs::catch();
    let rig = Rig::new(&[sms("msg_1"), sms("msg_2")], Scripted::new(&[Do::Panic], Do::Send));
    let running = rig.start();
    let wait = rig.postponed("msg_1", 1).await;
    rig.outbox.until(|outbox| outbox.row("msg_2").is_none()).await;
    rig.clock.advance(wait);
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 3);
    logs.assert_discreet();
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_outbox_is_asked_again() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Send));
    rig.outbox.unreadable.store(true, Ordering::SeqCst);
    let running = rig.start();
    tokio::task::yield_now().await;
    running.bell.ring();
    tokio::task::yield_now().await;
    assert_eq!(rig.outbox.row("msg_1").unwrap().attempts, 0);
    rig.outbox.unreadable.store(false, Ordering::SeqCst);
    rig.outbox.until(|outbox| outbox.len() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_row_cannot_be_removed_is_not_sent_again() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Send));
    rig.outbox.unwritable.store(true, Ordering::SeqCst);
    let running = rig.start();
    rig.outbox.until(|_| rig.endings() == [Ending::Sent]).await;
    assert_eq!(rig.outbox.trail(), []);
    rig.outbox.unwritable.store(false, Ordering::SeqCst);
    rig.clock.advance(Duration::from_secs(31));
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 1);
    assert_eq!(rig.endings(), [Ending::Sent]);
    let trail = rig.outbox.trail();
    assert_eq!(trail, told("message_sent.sms", "for=verify; provider=gateway"), "both are done, or neither");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_put_off_is_tried_again_after_its_lease() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::new(&[Do::Fail], Do::Send));
    rig.outbox.unwritable.store(true, Ordering::SeqCst);
    let running = rig.start();
    rig.outbox.until(|_| rig.provider.calls() == 1).await;
    rig.outbox.unwritable.store(false, Ordering::SeqCst);
    rig.clock.advance(Duration::from_secs(30));
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_open_is_tried_again_and_hurts_no_other() {
    let mut moved = waiting(&sms("msg_1"));
    moved.channel = Channel::Voice;
    let rig = Rig::new(&[sms("msg_2")], Scripted::always(Do::Send));
    rig.outbox.insert(vec![moved]).await.unwrap();
    let _running = rig.start();
    rig.postponed("msg_1", 1).await;
    rig.outbox.until(|outbox| outbox.row("msg_2").is_none()).await;
    assert_eq!(rig.provider.seen(), [("msg_2".into(), CODE.into())]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_never_opens_or_is_nobodys_is_written_down_all_the_same() {
    let mut moved = waiting(&sms("msg_1"));
    moved.channel = Channel::Voice;
    moved.attempts = 7;
    let nobodys = OutboxRow { user: None, ..waiting(&sms("msg_2")) };
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    rig.outbox.insert(vec![moved, nobodys]).await.unwrap();
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    let mut trail = rig.outbox.trail();
    trail.sort();
    let sent = ("message_sent.sms", None, Some("for=verify; provider=gateway".to_owned()));
    assert_eq!(trail, [told("message_failed.voice", "tried too often"), [sent]].concat());
}

#[tokio::test(start_paused = true)]
async fn forty_messages_are_sent_with_never_more_than_twenty_at_the_provider() {
    let messages: Vec<_> = (0..40).map(|n| sms(&format!("msg_{n}"))).collect();
    let rig = Rig::new(&messages, Scripted::always(Do::Wait));
    let _running = rig.start();
    while rig.provider.inside() < 20 {
        tokio::task::yield_now().await;
    }
    rig.provider.gate.add_permits(40);
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 40);
    assert_eq!(rig.provider.most_inside(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_provider_is_slow_holds_up_no_other() {
    let mut messages: Vec<_> = (0..200).map(|n| sms(&format!("a_{n:03}"))).collect();
    messages.extend((0..100).map(|n| code(Channel::Email, &format!("b_{n:03}"))));
    let (slow, fast) = (Scripted::always(Do::Wait), Scripted::always(Do::Send));
    let mut rig = Rig::new(&messages, Arc::clone(&slow));
    let courier = Courier::new(Arc::new(English), Arc::clone(&rig.clock) as Arc<_>, Arc::new(()))
        .route(Channel::Sms, vec![Line::new("slow", Arc::clone(&slow) as Arc<_>)])
        .route(Channel::Email, vec![Line::new("fast", Arc::clone(&fast) as Arc<_>)]);
    rig.ports.sender = Arc::new(courier);
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 200).await;
    assert_eq!((fast.calls(), slow.most_inside()), (100, 20));
    // A new one finds room too, while the others still wait.
    rig.outbox.insert(vec![waiting(&code(Channel::Email, "c"))]).await.unwrap();
    rig.outbox.until(|outbox| outbox.len() == 200).await;
    assert_eq!(fast.calls(), 101);
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_one_worker_carries_are_all_sent_without_another_ring() {
    let messages: Vec<_> = (0..200).map(|n| sms(&format!("msg_{n}"))).collect();
    let rig = Rig::new(&messages, Scripted::always(Do::Send));
    let before = tokio::time::Instant::now();
    let _running = rig.start();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(rig.provider.calls(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_worker_that_died_is_sent_by_another_with_the_same_id_and_code() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::new(&[Do::Wait], Do::Send));
    let first = rig.start();
    while rig.provider.inside() == 0 {
        tokio::task::yield_now().await;
    }
    first.task.abort();
    assert!(first.task.await.unwrap_err().is_cancelled());
    assert_eq!(rig.provider.inside(), 0);

    let second = rig.start();
    tokio::task::yield_now().await;
    assert_eq!(rig.provider.calls(), 1, "the lease holds");
    rig.clock.advance(Duration::from_secs(30));
    second.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.seen(), vec![("msg_1".to_owned(), CODE.to_owned()); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_given_up_before_the_lease_ends() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Wait));
    let before = tokio::time::Instant::now();
    let _running = rig.start();
    rig.postponed("msg_1", 1).await;
    assert!(before.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn on_stop_nothing_is_claimed_any_more_and_what_is_in_flight_ends() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Wait));
    let running = rig.start();
    while rig.provider.inside() == 0 {
        tokio::task::yield_now().await;
    }
    running.stop.send(true).unwrap();
    rig.outbox.insert(vec![waiting(&sms("msg_2"))]).await.unwrap();
    running.bell.ring();
    tokio::task::yield_now().await;
    assert!(!running.task.is_finished());
    rig.provider.gate.add_permits(2);
    running.task.await.unwrap();
    assert!(rig.outbox.row("msg_1").is_none());
    assert_eq!(rig.outbox.row("msg_2").unwrap().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn on_stop_what_takes_too_long_is_cut_off_and_stays() {
    let rig = Rig::new(&[sms("msg_1")], Scripted::always(Do::Wait));
    let running = rig.start();
    while rig.provider.inside() == 0 {
        tokio::task::yield_now().await;
    }
    let begin = tokio::time::Instant::now();
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
    assert!(begin.elapsed() < IN_FLIGHT + Duration::from_secs(1), "{:?}", begin.elapsed());
    let row = rig.outbox.row("msg_1").unwrap();
    assert_eq!((row.attempts, row.due_at), (1, rig.now().plus(Duration::from_secs(30))), "its lease ends");
    assert!(rig.endings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn stops_when_nobody_is_left_to_stop_it() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let running = rig.start();
    drop(running.stop);
    running.task.await.unwrap();
}
