//! Rows that are written as claimed and handed over by who wrote them.

use countersign_domain::port::outbox_store::{Bell as _, Claim};

use super::*;

/// What may be in flight.
const PLACES: usize = 64;

fn claim(rig: &Rig, bell: &Bell) -> Option<Box<dyn Claim>> {
    bell.claim(Channel::Sms, rig.now())
}

/// Waits until the worker runs.
async fn first_claim(rig: &Rig, bell: &Bell) -> Box<dyn Claim> {
    loop {
        if let Some(claim) = claim(rig, bell) {
            return claim;
        }
        tokio::task::yield_now().await;
    }
}

/// Writes a row as claimed, and hands it over.
async fn write_claimed(rig: &Rig, claim: Box<dyn Claim>, id: &str) {
    let row = waiting(&sms(id)).claimed(claim.lease_until());
    rig.outbox.insert(vec![row.clone()]).await.unwrap();
    claim.hand_over(row);
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_at_once_though_nothing_can_be_claimed() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let running = rig.start();
    let claim = first_claim(&rig, &running.bell).await;
    assert_eq!(claim.lease_until(), rig.now().plus(Duration::from_secs(30)));
    rig.outbox.unreadable.store(true, Ordering::SeqCst);
    write_claimed(&rig, claim, "msg_1").await;
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!((rig.provider.calls(), rig.endings()), (1, vec![Ending::Sent]));
    assert_eq!(rig.outbox.trail(), told("message_sent.sms", "for=verify; provider=gateway"));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_tried_again_as_any_other() {
    let rig = Rig::new(&[], Scripted::new(&[Do::Fail], Do::Send));
    let running = rig.start();
    let claim = first_claim(&rig, &running.bell).await;
    write_claimed(&rig, claim, "msg_1").await;
    let wait = rig.postponed("msg_1", 1).await;
    rig.clock.advance(wait);
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_places_as_may_be_in_flight_and_they_come_back() {
    let rig = Rig::new(&[], Scripted::always(Do::Wait));
    let running = rig.start();
    let mut claims = vec![first_claim(&rig, &running.bell).await];
    while let Some(claim) = claim(&rig, &running.bell) {
        claims.push(claim);
    }
    assert_eq!(claims.len(), PLACES);
    assert!(running.bell.claim(Channel::Email, rig.now()).is_some(), "another channel's");
    drop(claims.pop());
    write_claimed(&rig, claim(&rig, &running.bell).unwrap(), "msg_1").await;
    rig.outbox.until(|_| rig.provider.calls() == 1).await;
    assert!(claim(&rig, &running.bell).is_none(), "it is in flight");
    rig.provider.gate.add_permits(1);
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    drop(first_claim(&rig, &running.bell).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_claims_before_the_worker_runs_or_after_it_is_stopped() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let bell = Bell::new();
    assert!(claim(&rig, &bell).is_none());
    let running = rig.start();
    let claimed = first_claim(&rig, &running.bell).await;
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
    assert!(claim(&rig, &running.bell).is_none());
    // As after a crash: the next worker sends it when the lease ends.
    write_claimed(&rig, claimed, "msg_1").await;
    let next = rig.start();
    drop(first_claim(&rig, &next.bell).await);
    assert_eq!(rig.provider.calls(), 0);
    rig.clock.advance(Duration::from_secs(30));
    next.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_stop_waits_for_who_is_about_to_hand_over() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let running = rig.start();
    let [one, other] = [first_claim(&rig, &running.bell).await, claim(&rig, &running.bell).unwrap()];
    running.stop.send(true).unwrap();
    while claim(&rig, &running.bell).is_some() {
        tokio::task::yield_now().await;
    }
    write_claimed(&rig, one, "msg_1").await;
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert!(!running.task.is_finished());
    // It was not written after all.
    drop(other);
    running.task.await.unwrap();
    assert_eq!(rig.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_too_late_to_be_tried_within_its_lease_is_left_to_the_next() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let running = rig.start();
    let claim = first_claim(&rig, &running.bell).await;
    rig.clock.advance(Duration::from_secs(25));
    write_claimed(&rig, claim, "msg_1").await;
    // A second one goes the same way after it.
    let next = first_claim(&rig, &running.bell).await;
    write_claimed(&rig, next, "msg_2").await;
    rig.outbox.until(|outbox| outbox.row("msg_2").is_none()).await;
    assert_eq!((rig.provider.calls(), rig.outbox.len()), (1, 1));
    rig.clock.advance(Duration::from_secs(5));
    running.bell.ring();
    rig.outbox.until(|outbox| outbox.len() == 0).await;
    assert_eq!(rig.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_before_the_stop_is_still_sent() {
    let rig = Rig::new(&[], Scripted::always(Do::Send));
    let running = rig.start();
    let claim = first_claim(&rig, &running.bell).await;
    write_claimed(&rig, claim, "msg_1").await;
    running.stop.send(true).unwrap();
    running.task.await.unwrap();
    assert_eq!((rig.provider.calls(), rig.outbox.len()), (1, 0));
}
