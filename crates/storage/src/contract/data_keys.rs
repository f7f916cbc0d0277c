//! Data keys, and what is sealed with them.

use std::sync::Arc;

use countersign_domain::{
    audit::{AuditEvent, Event},
    challenge::ChallengeRecord,
    data_key::{DataKeyId, SealedCount, SealedIn, SealedValue, StoredDataKey},
    id::{KeyId, MessageId, UserId},
    message::{Channel, OutboxRow, Urgency},
    port::{
        authenticator_store::EnrollmentBegun, data_key_store::DataKeyDropped, key_store::StoredKey, signer::Algorithm,
    },
    secret::Sealed,
    signing_key::KeyState,
    time::Timestamp,
    transaction::TransactionRecord,
};

use super::{
    race,
    records::{NOW, add_user, digest, enrollment, later},
};
use crate::open::Stores;

const FIRST: DataKeyId = DataKeyId::new([0xf0; 8]);

fn id(n: u8) -> DataKeyId {
    DataKeyId::new([n; 8])
}

/// Made at the second `n`, and sealing from ten seconds later on.
fn key(n: u8) -> StoredDataKey {
    let (created_at, seals_from) = (later(u64::from(n)), later(u64::from(n) + 10));
    StoredDataKey { id: id(n), wrapped: Sealed::new(vec![n; 60]), created_at, seals_from, dropped_at: None }
}

fn row(event: Event) -> AuditEvent {
    AuditEvent::of_deployment(event, NOW).because("key=x")
}

/// Something sealed with `key`.
fn sealed(key: DataKeyId, content: u8) -> Sealed {
    Sealed::new([&[1, 1][..], key.as_bytes(), &[content; 20]].concat())
}

async fn insert(stores: &Stores, key: StoredDataKey) -> bool {
    let first = StoredDataKey::derived(FIRST);
    stores.data_keys.insert_data_key(key, first, row(Event::DataKeyAdded)).await.unwrap()
}

async fn enrol(stores: &Stores, username: &str, n: usize, state: Sealed) -> SealedValue {
    let user = add_user(stores, username).await;
    let mut new = enrollment(&user, n);
    new.authenticator.state = state.clone();
    let id = new.authenticator.id.as_str().to_owned();
    let begun = stores.authenticators.begin_enrollment(new, NOW).await.unwrap();
    assert!(matches!(begun, EnrollmentBegun::Begun { .. }));
    SealedValue { column: SealedIn::Authenticators, id, owner: user.as_str().to_owned(), sealed: state }
}

fn message(n: u8, sealed: Sealed) -> OutboxRow {
    OutboxRow {
        id: MessageId::new(format!("message{n}")),
        user: Some(UserId::new("auth0|reader")),
        channel: Channel::Email,
        urgency: Urgency::Patient,
        sealed,
        attempts: 0,
        doubts: 0,
        created_at: NOW,
        due_at: NOW,
        expires_at: later(60),
    }
}

fn signing_key(n: u8, sealed: Sealed) -> StoredKey {
    let (id, algorithm, state) = (KeyId::new(format!("key{n}")), Algorithm::Es256, KeyState::Current);
    StoredKey { id, algorithm, state, sealed, created_at: NOW, changed_at: NOW }
}

fn transaction(n: usize, sealed: Sealed, expires_at: Timestamp) -> TransactionRecord {
    TransactionRecord { digest: digest(n), sealed, expires_at, exhausted: false }
}

fn challenge(n: usize, sealed: Sealed, expires_at: Timestamp) -> ChallengeRecord {
    ChallengeRecord { digest: digest(n), slot: digest(n + 1), sealed, tries: 5, decision: None, expires_at }
}

async fn counts(stores: &Stores, now: Timestamp) -> Vec<(SealedIn, DataKeyId, u64)> {
    let counts = stores.data_keys.count_sealed(now).await.unwrap();
    counts.into_iter().map(|SealedCount { column, key, values }| (column, key, values)).collect()
}

/// A key comes with the first one, once, and every field survives.
pub async fn a_data_key_reads_back_and_the_first_comes_with_it(stores: &Stores) {
    assert_eq!(stores.data_keys.list_data_keys().await.unwrap(), []);
    assert!(insert(stores, key(1)).await);
    assert!(insert(stores, key(11)).await, "the one before it seals by then");
    assert_eq!(stores.data_keys.list_data_keys().await.unwrap(), [StoredDataKey::derived(FIRST), key(1), key(11)]);
    let rows = stores.audit.list_rows(0, 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.event == Event::DataKeyAdded.as_str()).count(), 2);
}

/// Each is taken once, and never more than the limit, by however many at once.
pub async fn seals_of_a_data_key_are_taken_up_to_its_limit(stores: &Stores) {
    let take = |key: DataKeyId, seals, limit| {
        let data_keys = Arc::clone(&stores.data_keys);
        async move { data_keys.take_seals(key, seals, limit).await.unwrap() }
    };
    assert_eq!(stores.data_keys.list_seals().await.unwrap(), []);
    assert_eq!(take(FIRST, 11, 10).await, None, "of a key that nothing was taken of");
    assert_eq!(take(FIRST, 10, 10).await, Some(10));
    assert_eq!(take(FIRST, 1, 10).await, None);
    let taken = race(32, |_| take(id(1), 3, 64)).await;
    let mut taken: Vec<u64> = taken.into_iter().flatten().collect();
    taken.sort_unstable();
    assert_eq!(taken, (1..=21).map(|n| n * 3).collect::<Vec<_>>(), "63 of 64, each block once");
    assert_eq!(take(id(1), 2, 64).await, None);
    assert_eq!(take(id(1), 1, 64).await, Some(64));
    assert_eq!(take(id(1), 1 << 20, 1 << 32).await, Some(64 + (1 << 20)), "far beyond 32 bits too");
    let mut listed = stores.data_keys.list_seals().await.unwrap();
    listed.sort_unstable();
    assert_eq!(listed, [(id(1), 64 + (1 << 20)), (FIRST, 10)]);
}

/// As long as a key does not seal yet, there is no other.
pub async fn one_data_key_waits_at_a_time(stores: &Stores) {
    let inserted = race(32, |n| {
        let (stores, n) = (stores.clone(), u8::try_from(n).unwrap() % 8);
        async move { insert(&stores, StoredDataKey { id: id(n), ..key(3) }).await }
    })
    .await;
    assert_eq!(inserted.iter().filter(|inserted| **inserted).count(), 1);
    assert_eq!(stores.data_keys.list_data_keys().await.unwrap().len(), 2);
    assert!(!insert(stores, key(12)).await);
    assert!(insert(stores, key(13)).await);
}

/// Every column is counted, and what has ended is not.
pub async fn values_are_counted_by_their_data_key(stores: &Stores) {
    enrol(stores, "ann", 1, sealed(id(1), 1)).await;
    enrol(stores, "bob", 2, sealed(id(2), 1)).await;
    enrol(stores, "cid", 3, sealed(id(2), 2)).await;
    enrol(stores, "dan", 4, Sealed::new(vec![1, 1, 2])).await;
    stores.keys.insert_key(signing_key(1, sealed(id(1), 1)), row(Event::SigningKeyAdded)).await.unwrap();
    stores.outbox.insert(vec![message(1, sealed(id(2), 1))]).await.unwrap();
    for (n, expires_at) in [(1, later(5)), (2, later(6))] {
        stores.sessions.insert_transaction(transaction(n, sealed(id(1), 1), expires_at)).await.unwrap();
        stores.sessions.insert_challenge(challenge(10 * n, sealed(id(1), 1), expires_at)).await.unwrap();
    }
    let kept = [
        (SealedIn::Authenticators, id(1), 1),
        (SealedIn::Authenticators, id(2), 2),
        (SealedIn::SigningKeys, id(1), 1),
        (SealedIn::Messages, id(2), 1),
    ];
    let passing = |count| [(SealedIn::Transactions, id(1), count), (SealedIn::Challenges, id(1), count)];
    assert_eq!(counts(stores, later(4)).await, [&kept[..], &passing(2)].concat());
    assert_eq!(counts(stores, later(5)).await, [&kept[..], &passing(1)].concat());
    assert_eq!(counts(stores, later(6)).await, kept);
}

/// All values come once, page by page, without those that have the key already; a value that changed meanwhile stays.
pub async fn values_are_replaced_as_they_were_read(stores: &Stores) {
    let mut expected = Vec::new();
    for n in 0..7 {
        let value = enrol(stores, &format!("user{n}"), n, sealed(id(if n == 3 { 2 } else { 1 }), 1)).await;
        if n != 3 {
            expected.push(value);
        }
    }
    let data_keys = &stores.data_keys;
    let mut pages: Vec<SealedValue> = Vec::new();
    loop {
        let page = data_keys.list_sealed(SealedIn::Authenticators, id(2), pages.last(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, expected);

    stores.keys.insert_key(signing_key(1, sealed(id(1), 5)), row(Event::SigningKeyAdded)).await.unwrap();
    stores.outbox.insert(vec![message(1, sealed(id(1), 6))]).await.unwrap();
    for column in [SealedIn::SigningKeys, SealedIn::Messages] {
        pages.extend(data_keys.list_sealed(column, id(2), None, 10).await.unwrap());
    }
    assert_eq!(pages[6].id, "key1");
    assert_eq!((pages[7].id.as_str(), pages[7].owner.as_str()), ("message1", Channel::Email.as_str()));
    let anew = |value: &SealedValue| (value.clone(), sealed(id(2), 1));
    let mut stale = anew(&pages[0]);
    stale.0.sealed = sealed(id(1), 9);
    let mut anothers = anew(&pages[0]);
    anothers.0.owner.push('x');
    let mut gone = anew(&pages[0]);
    gone.0.id.push('x');
    assert_eq!(data_keys.replace_sealed(vec![stale, anothers, gone]).await.unwrap(), 0);
    assert_eq!(counts(stores, NOW).await[0], (SealedIn::Authenticators, id(1), 6));
    let replaced = race(4, |_| {
        let (data_keys, values) = (Arc::clone(data_keys), pages.iter().map(anew).collect());
        async move { data_keys.replace_sealed(values).await.unwrap() }
    })
    .await;
    assert_eq!(replaced.iter().sum::<usize>(), 8, "each value once");
    let all = [(SealedIn::Authenticators, 7), (SealedIn::SigningKeys, 1), (SealedIn::Messages, 1)];
    assert_eq!(counts(stores, NOW).await, all.map(|(column, values)| (column, id(2), values)));
    let waiting = stores.outbox.claim(Channel::Email, NOW, later(1), 10).await.unwrap();
    assert_eq!((waiting.len(), &waiting[0].user), (1, &Some(UserId::new("auth0|reader"))), "it is whose it was");
}

/// A key is dropped once: after another took over for long enough, and when nothing is sealed with it.
pub async fn a_data_key_in_use_is_not_dropped(stores: &Stores) {
    let drop = |key: DataKeyId, since, now| {
        let data_keys = Arc::clone(&stores.data_keys);
        async move { data_keys.drop_data_key(key, since, now, row(Event::DataKeyDropped)).await.unwrap() }
    };
    assert_eq!(drop(FIRST, later(99), later(99)).await, DataKeyDropped::Unknown);
    assert!(insert(stores, key(1)).await);
    assert_eq!(drop(id(9), later(99), later(99)).await, DataKeyDropped::Unknown);
    assert_eq!(drop(FIRST, later(10), later(99)).await, DataKeyDropped::Seals, "until the eleventh second");
    assert_eq!(drop(id(1), later(99), later(99)).await, DataKeyDropped::Seals);
    let value = enrol(stores, "ann", 1, sealed(FIRST, 1)).await;
    stores.sessions.insert_transaction(transaction(1, sealed(FIRST, 1), later(50))).await.unwrap();
    let in_use = |columns: &[SealedIn]| {
        let count = |column: &SealedIn| SealedCount { column: *column, key: FIRST, values: 1 };
        DataKeyDropped::InUse(columns.iter().map(count).collect())
    };
    let both = [SealedIn::Authenticators, SealedIn::Transactions];
    assert_eq!(drop(FIRST, later(11), later(49)).await, in_use(&both));
    assert_eq!(stores.data_keys.replace_sealed(vec![(value, sealed(id(1), 1))]).await.unwrap(), 1);
    assert_eq!(drop(FIRST, later(11), later(49)).await, in_use(&both[1..]));
    let outcomes = race(8, |_| drop(FIRST, later(11), later(50))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == DataKeyDropped::Dropped).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == DataKeyDropped::Unknown).count(), 7);
    let listed = stores.data_keys.list_data_keys().await.unwrap();
    assert_eq!((listed[0].dropped_at, listed[0].wrapped.as_bytes()), (Some(later(50)), &[][..]));
    assert_eq!(listed[1], key(1));
    let rows = stores.audit.list_rows(0, 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.event == Event::DataKeyDropped.as_str()).count(), 1);
}

/// Who sealed something and was held up until the key was dropped fails.
pub async fn nothing_gets_in_under_a_dropped_data_key(stores: &Stores) {
    let value = enrol(stores, "ann", 1, sealed(id(1), 1)).await;
    assert!(insert(stores, key(1)).await);
    let dropped = stores.data_keys.drop_data_key(FIRST, later(99), later(99), row(Event::DataKeyDropped)).await;
    assert_eq!(dropped.unwrap(), DataKeyDropped::Dropped);
    let late = sealed(FIRST, 1);
    let user = add_user(stores, "bob").await;
    let mut new = enrollment(&user, 2);
    new.authenticator.state = late.clone();
    assert!(stores.authenticators.begin_enrollment(new, NOW).await.is_err());
    assert!(stores.keys.insert_key(signing_key(1, late.clone()), row(Event::SigningKeyAdded)).await.is_err());
    assert!(stores.outbox.insert(vec![message(1, late.clone())]).await.is_err());
    let record = stores.logins.record(row(Event::DataKeyAdded), vec![message(2, late.clone())]).await;
    assert!(record.is_err());
    assert!(stores.data_keys.replace_sealed(vec![(value, late)]).await.is_err());
    assert_eq!(counts(stores, NOW).await, [(SealedIn::Authenticators, id(1), 1)]);
    stores.outbox.insert(vec![message(3, sealed(id(1), 1))]).await.unwrap();
}
