#![allow(clippy::unwrap_used, clippy::panic)]

mod forgery;

use std::sync::{Mutex, MutexGuard};

use countersign_domain::{
    audit::AuditEvent,
    id::KeyId,
    port::{clock::Clock, key_store::KeyStore, signer::TokenType},
    secret::Sealed,
    signing_key::{RotationPolicy, SERVERS_AGREE_WITHIN},
    testing::ManualClock,
    time::Timestamp,
};
use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::{
    entropy::SystemEntropy,
    key_keeper::{Haste, KeyChange, KeyOptions},
    master_key::MasterKey,
    sealer::AeadSealer,
    signing_key,
};

const CLAIMS: &str = r#"{"iss":"https://id.example/","sub":"auth0|1","exp":1000}"#;
const DAY: Duration = Duration::from_secs(86_400);
const ROTATION: RotationPolicy = RotationPolicy { age: Some(Duration::from_secs(90 * 86_400)), lead: DAY, keep: DAY };

#[derive(Clone, Default)]
struct Keys(Arc<Mutex<Vec<StoredKey>>>);

impl Keys {
    fn all(&self) -> MutexGuard<'_, Vec<StoredKey>> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl KeyStore for Keys {
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let mut keys = self.all().clone();
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(keys)
    }

    async fn insert_key(&self, key: StoredKey, _: AuditEvent) -> Result<bool, PortError> {
        let mut keys = self.all();
        let vacant = keys.iter().all(|other| (other.algorithm, other.state) != (key.algorithm, key.state));
        if vacant {
            keys.push(key);
        }
        Ok(vacant)
    }

    async fn promote_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        _: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut keys = self.all();
        let known = |id: &KeyId, state| keys.iter().any(|key| key.id == *id && key.state == state);
        if !known(next, KeyState::Next) || !known(current, KeyState::Current) {
            return Ok(false);
        }
        for key in keys.iter_mut().filter(|key| key.id == *next || key.id == *current) {
            key.state = if key.id == *next { KeyState::Current } else { KeyState::Previous };
            key.changed_at = now;
        }
        Ok(true)
    }

    async fn begin_key(&self, next: &KeyId, now: Timestamp, _: AuditEvent) -> Result<bool, PortError> {
        let mut keys = self.all();
        let Some(found) = keys.iter().find(|key| key.id == *next && key.state == KeyState::Next).cloned() else {
            return Ok(false);
        };
        if keys.iter().any(|key| key.algorithm == found.algorithm && key.state == KeyState::Current) {
            return Ok(false);
        }
        for key in keys.iter_mut().filter(|key| key.id == *next) {
            (key.state, key.changed_at) = (KeyState::Current, now);
        }
        Ok(true)
    }

    async fn end_key(&self, current: &KeyId, now: Timestamp, _: AuditEvent) -> Result<bool, PortError> {
        let mut keys = self.all();
        let found = keys.iter_mut().find(|key| key.id == *current && key.state == KeyState::Current);
        let Some(key) = found else { return Ok(false) };
        (key.state, key.changed_at) = (KeyState::Previous, now);
        Ok(true)
    }

    async fn retire_key(&self, id: &KeyId, from: KeyState, now: Timestamp, _: AuditEvent) -> Result<bool, PortError> {
        let mut keys = self.all();
        let Some(key) = keys.iter_mut().find(|key| key.id == *id && key.state == from) else { return Ok(false) };
        *key = StoredKey { state: KeyState::Retired, sealed: Sealed::new(Vec::new()), changed_at: now, ..key.clone() };
        Ok(true)
    }

    /// Nobody has an account here.
    async fn replace_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<Option<u64>, PortError> {
        let Some(row) = audit.first() else { return Ok(None) };
        if !self.promote_key(next, current, now, row.clone()).await? {
            return Ok(None);
        }
        self.retire_key(current, KeyState::Previous, now, row.clone()).await.map(|retired| retired.then_some(0))
    }
}

/// Says at first that there are no keys, as to a replica that looked before another one's insert.
struct Late(Keys, Mutex<bool>);

#[async_trait]
impl KeyStore for Late {
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let looked_before = std::mem::replace(&mut *self.1.lock().unwrap(), true);
        if looked_before { self.0.list_keys().await } else { Ok(Vec::new()) }
    }

    async fn insert_key(&self, key: StoredKey, audit: AuditEvent) -> Result<bool, PortError> {
        self.0.insert_key(key, audit).await
    }

    async fn promote_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.0.promote_key(next, current, now, audit).await
    }

    async fn begin_key(&self, next: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        self.0.begin_key(next, now, audit).await
    }

    async fn end_key(&self, current: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        self.0.end_key(current, now, audit).await
    }

    async fn retire_key(
        &self,
        id: &KeyId,
        from: KeyState,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.0.retire_key(id, from, now, audit).await
    }

    async fn replace_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<Option<u64>, PortError> {
        self.0.replace_key(next, current, now, audit).await
    }
}

fn sealer() -> AeadSealer {
    let master = MasterKey::parse(&"0123456789abcdef".repeat(4)).unwrap();
    let sealer = AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap();
    sealer.grant(sealer.derived_id(), 100, 100);
    sealer
}

fn keeper(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>, algorithms: &[Algorithm]) -> KeyKeeper {
    let algorithms = algorithms.iter().copied().collect();
    let options = KeyOptions { algorithms, rsa_bits: RsaBits::Bits2048, rotation: ROTATION };
    KeyKeeper::new(store, Arc::new(sealer()), clock, options)
}

fn clock_at(millis: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(millis)))
}

async fn load(keys: &Keys, algorithms: &[Algorithm]) -> Result<KeyRing, PortError> {
    KeyRing::load(keeper(Arc::new(keys.clone()), clock_at(1_000), algorithms)).await
}

async fn ec_ring() -> KeyRing {
    load(&Keys::default(), &[Algorithm::Es256]).await.unwrap()
}

fn unsigned(algorithm: Algorithm) -> Unsigned {
    Unsigned { algorithm, token_type: TokenType::Jwt, claims: CLAIMS.as_bytes().to_vec() }
}

async fn token(ring: &KeyRing, algorithm: Algorithm) -> String {
    ring.sign(unsigned(algorithm)).await.unwrap().expose().clone()
}

fn kid(ring: &KeyRing) -> String {
    ring.known()[0].key.public().id.as_str().to_owned()
}

#[tokio::test]
async fn signs_what_it_verifies_with_every_algorithm() {
    let ring = load(&Keys::default(), &Algorithm::ALL).await.unwrap();
    for algorithm in Algorithm::ALL {
        let token = token(&ring, algorithm).await;
        assert_eq!(ring.verify(&token).unwrap().claims, CLAIMS.as_bytes());
        let header = BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
        let id = ring.current(algorithm).unwrap().public().id.clone();
        let expected = format!(r#"{{"alg":"{}","typ":"JWT","kid":"{id}"}}"#, algorithm.as_str());
        assert_eq!(String::from_utf8(header).unwrap(), expected);
    }
    let public = ring.public_keys();
    assert_eq!(public.len(), 4);
    assert!(public.iter().all(|key| key.id == signing_key::thumbprint(&key.material)));
}

#[tokio::test]
async fn keys_survive_a_restart_and_are_stored_sealed() {
    let keys = Keys::default();
    let before = load(&keys, &[Algorithm::Es256]).await.unwrap();
    let token = token(&before, Algorithm::Es256).await;
    let after = load(&keys, &[Algorithm::Es256]).await.unwrap();
    assert!(after.verify(&token).is_some());
    assert_eq!(before.public_keys(), after.public_keys());
    assert_eq!(keys.all().len(), 1);
    let stored = keys.all()[0].clone();
    assert_eq!(stored.created_at, Timestamp::from_millis(1_000));
    assert!(SigningKey::parse(Algorithm::Es256, stored.sealed.as_bytes()).is_err());
}

#[tokio::test]
async fn replicas_that_start_together_share_one_key() {
    let keys = Keys::default();
    let first = load(&keys, &[Algorithm::Es256]).await.unwrap();
    let second =
        KeyRing::load(keeper(Arc::new(Late(keys.clone(), Mutex::new(false))), clock_at(1_000), &[Algorithm::Es256]))
            .await
            .unwrap();
    assert_eq!(first.public_keys(), second.public_keys());
    assert!(second.verify(&token(&first, Algorithm::Es256).await).is_some());
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_verifies_after_it_signed() {
    let (keys, clock) = (Keys::default(), clock_at(1_000));
    let ours = KeyRing::load(keeper(Arc::new(keys.clone()), clock.clone(), &[Algorithm::Es256])).await.unwrap();
    // Another process, which only reads.
    let theirs = KeyRing::load(keeper(Arc::new(keys.clone()), clock.clone(), &[Algorithm::Es256])).await.unwrap();
    let first = ours.public_keys().remove(0).id;
    let old = token(&ours, Algorithm::Es256).await;
    ours.turn().await.unwrap();
    let [_, next] = ours.public_keys().try_into().unwrap();
    assert_eq!(ours.current(Algorithm::Es256).unwrap().public().id, first);
    clock.advance(DAY * 90);
    ours.turn().await.unwrap();
    assert_eq!(ours.current(Algorithm::Es256).unwrap().public().id, next.id);
    let new = token(&ours, Algorithm::Es256).await;
    assert!(theirs.verify(&new).is_none(), "it has not read the keys since");
    theirs.reload().await.unwrap();
    assert!(theirs.verify(&new).is_some() && theirs.verify(&old).is_some());
    // The current one, a new next one, and the previous one.
    ours.turn().await.unwrap();
    let published: Vec<_> = ours.public_keys().into_iter().map(|key| key.id).collect();
    assert_eq!((published.len(), &published[0], &published[2]), (3, &next.id, &first));
    clock.advance(DAY);
    ours.turn().await.unwrap();
    assert!(ours.verify(&old).is_none() && ours.verify(&new).is_some());
    assert!(keys.all().iter().find(|key| key.id == first).unwrap().sealed.as_bytes().is_empty());
}

#[tokio::test]
async fn an_operator_is_held_to_the_lead_times_but_in_an_emergency() {
    let (keys, clock) = (Keys::default(), clock_at(0));
    let keeper = keeper(Arc::new(keys.clone()), clock.clone(), &[Algorithm::Es256]);
    let ring = KeyRing::load(keeper.clone()).await.unwrap();
    let first = ring.public_keys().remove(0).id;
    assert_eq!(keeper.promote(Algorithm::Es256, Haste::AtOnce).await.unwrap(), KeyChange::NoNext);
    let KeyChange::Done(next) = keeper.add(Algorithm::Es256).await.unwrap() else { panic!("there was no next key") };
    assert_eq!(keeper.add(Algorithm::Es256).await.unwrap(), KeyChange::NextExists(next.clone()));
    let tomorrow = KeyChange::NotBefore(Timestamp::from_millis(86_400_000));
    assert_eq!(keeper.promote(Algorithm::Es256, Haste::Planned).await.unwrap(), tomorrow);
    assert_eq!(keeper.retire(&first, Haste::AtOnce).await.unwrap(), KeyChange::Signs);
    assert_eq!(keeper.retire(&KeyId::new("x"), Haste::AtOnce).await.unwrap(), KeyChange::Unknown);
    let old = token(&ring, Algorithm::Es256).await;
    assert_eq!(keeper.promote(Algorithm::Es256, Haste::AtOnce).await.unwrap(), KeyChange::Done(next.clone()));
    assert_eq!(keeper.retire(&first, Haste::Planned).await.unwrap(), tomorrow);
    ring.reload().await.unwrap();
    assert!(ring.verify(&old).is_some());
    assert_eq!(keeper.retire(&first, Haste::AtOnce).await.unwrap(), KeyChange::Done(first.clone()));
    assert_eq!(keeper.retire(&first, Haste::AtOnce).await.unwrap(), KeyChange::Retired);
    ring.reload().await.unwrap();
    assert!(ring.verify(&old).is_none());
    assert_eq!(ring.public_keys().into_iter().map(|key| key.id).collect::<Vec<_>>(), [next]);
}

#[tokio::test]
async fn processes_that_rotate_together_take_each_step_once() {
    let (keys, clock) = (Keys::default(), clock_at(0));
    let mut rings = Vec::new();
    for _ in 0..4 {
        let keeper = keeper(Arc::new(keys.clone()), clock.clone(), &[Algorithm::Es256]);
        rings.push(KeyRing::load(keeper).await.unwrap());
    }
    for day in 0..400 {
        for ring in &rings {
            ring.turn().await.unwrap();
        }
        let count = |state| keys.all().iter().filter(|key| key.state == state).count();
        assert_eq!((count(KeyState::Current), count(KeyState::Next)), (1, 1), "day {day}");
        clock.advance(DAY);
    }
    // One at the beginning, one to follow it, and one more each ninety days.
    assert_eq!(keys.all().len(), 6);
}

/// A ticking task on the only async thread gets its turns while RSA signatures are made.
#[tokio::test]
async fn rsa_signatures_do_not_hold_up_the_async_threads() {
    let ring = Arc::new(load(&Keys::default(), &[Algorithm::Rs256]).await.unwrap());
    let signatures: Vec<_> = (0..200)
        .map(|_| {
            let ring = Arc::clone(&ring);
            tokio::spawn(async move { token(&ring, Algorithm::Rs256).await })
        })
        .collect();
    let mut turns = 0_u32;
    while signatures.iter().any(|signature| !signature.is_finished()) {
        tokio::task::yield_now().await;
        turns += 1;
    }
    // Each signature on this thread would leave it one turn.
    assert!(turns > 400, "{turns}");
}

#[tokio::test]
async fn what_one_answer_holds_is_signed_in_its_order() {
    let ring = load(&Keys::default(), &[Algorithm::Rs256, Algorithm::Es256]).await.unwrap();
    for algorithms in [&[Algorithm::Es256, Algorithm::Rs256][..], &[Algorithm::Rs256, Algorithm::Es256], &[]] {
        let signed = ring.sign_all(algorithms.iter().copied().map(unsigned).collect()).await.unwrap();
        let kids: Vec<_> = signed.iter().map(|token| Unverified::parse(token.expose()).unwrap().key_id).collect();
        let expected: Vec<_> = algorithms.iter().map(|algorithm| ring.current(*algorithm).unwrap()).collect();
        assert_eq!(kids, expected.iter().map(|key| key.public().id.as_str().to_owned()).collect::<Vec<_>>());
        assert!(signed.iter().all(|token| ring.verify(token.expose()).is_some()));
    }
    let one_is_missing = vec![unsigned(Algorithm::Es256), unsigned(Algorithm::Ed25519)];
    assert!(matches!(ring.sign_all(one_is_missing).await, Err(PortError::Unavailable("signing key", _))));
}

#[tokio::test]
async fn an_algorithm_that_is_not_asked_for_does_not_sign() {
    let ring = ec_ring().await;
    let answer = ring.sign(unsigned(Algorithm::Rs256)).await;
    assert!(matches!(answer, Err(PortError::Unavailable("signing key", _))));
}

#[tokio::test]
async fn a_key_of_an_algorithm_that_no_api_uses_any_more_is_published_while_its_tokens_live() {
    let (keys, clock) = (Keys::default(), clock_at(0));
    let ring = async |algorithms: &[Algorithm]| {
        KeyRing::load(keeper(Arc::new(keys.clone()), clock.clone(), algorithms)).await.unwrap()
    };
    let before = ring(&[Algorithm::Es256]).await;
    before.turn().await.unwrap();
    let old = token(&before, Algorithm::Es256).await;
    clock.advance(DAY * 3);
    let after = ring(&[Algorithm::Ed25519]).await;
    let shown = |ring: &KeyRing| ring.public_keys().iter().filter(|key| key.algorithm == Algorithm::Es256).count();
    after.turn().await.unwrap();
    assert_eq!(shown(&after), 2, "other servers may go by the old configuration yet");
    assert!(before.sign(unsigned(Algorithm::Es256)).await.is_ok());
    clock.advance(SERVERS_AGREE_WITHIN);
    after.turn().await.unwrap();
    clock.advance(Duration::from_secs(86_399));
    after.turn().await.unwrap();
    assert!(after.verify(&old).is_some());
    assert_eq!(shown(&after), 2, "what it signed is good, and others may go on with the one after it");
    clock.advance(Duration::from_secs(1));
    after.turn().await.unwrap();
    assert!(after.verify(&old).is_none());
    assert_eq!(shown(&after), 0);
}

#[tokio::test]
async fn servers_that_are_restarted_one_after_the_other_take_no_key_from_each_other() {
    let (keys, clock) = (Keys::default(), clock_at(0));
    let ring = async |algorithms: &[Algorithm]| {
        KeyRing::load(keeper(Arc::new(keys.clone()), clock.clone(), algorithms)).await.unwrap()
    };
    let old = ring(&[Algorithm::Ed25519]).await;
    clock.advance(DAY);
    let new = ring(&[Algorithm::Ed25519, Algorithm::Es256]).await;
    old.turn().await.unwrap();
    new.turn().await.unwrap();
    let signed = token(&new, Algorithm::Es256).await;
    assert!(old.reload().await.is_ok() && old.verify(&signed).is_some());
    assert!(old.public_keys().iter().any(|key| key.algorithm == Algorithm::Es256), "whichever server is asked");
    // One that is forgotten ends it in the end; who needs it has another, which the world knows.
    clock.advance(SERVERS_AGREE_WITHIN);
    let key = |ring: &KeyRing| ring.current(Algorithm::Es256).unwrap().public().id.clone();
    let ended = key(&new);
    let published: Vec<_> = old.public_keys().into_iter().map(|key| key.id).collect();
    old.turn().await.unwrap();
    // It goes on until then.
    new.reload().await.unwrap();
    assert_eq!(key(&new), ended);
    assert!(old.verify(&token(&new, Algorithm::Es256).await).is_some());
    new.turn().await.unwrap();
    assert_ne!(key(&new), ended);
    assert!(published.contains(&key(&new)));
    assert!(new.verify(&token(&new, Algorithm::Es256).await).is_some());
}

#[tokio::test]
async fn a_key_that_was_added_ahead_is_published_and_signs_once_it_is_asked_for() {
    let (keys, clock) = (Keys::default(), clock_at(0));
    let keeper_of = |algorithms: &[Algorithm]| keeper(Arc::new(keys.clone()), clock.clone(), algorithms);
    let before = KeyRing::load(keeper_of(&[Algorithm::Ed25519])).await.unwrap();
    let operator = keeper_of(&[Algorithm::Ed25519]);
    let KeyChange::Done(ahead) = operator.add(Algorithm::Es256).await.unwrap() else { panic!("it was not made") };
    assert_eq!(operator.promote(Algorithm::Es256, Haste::AtOnce).await.unwrap(), KeyChange::Unused);
    clock.advance(DAY * 30);
    before.turn().await.unwrap();
    assert!(before.public_keys().iter().any(|key| key.id == ahead));
    let after = KeyRing::load(keeper_of(&[Algorithm::Ed25519, Algorithm::Es256])).await.unwrap();
    assert_eq!(after.current(Algorithm::Es256).unwrap().public().id, ahead);
}

#[tokio::test]
async fn an_operator_may_end_the_current_key_of_an_algorithm_that_no_api_uses() {
    for haste in [Haste::Planned, Haste::AtOnce] {
        let (keys, clock) = (Keys::default(), clock_at(0));
        let keeper_of = |algorithms: &[Algorithm]| keeper(Arc::new(keys.clone()), clock.clone(), algorithms);
        let ring = KeyRing::load(keeper_of(&[Algorithm::Ed25519, Algorithm::Es256])).await.unwrap();
        ring.turn().await.unwrap();
        let id = ring.current(Algorithm::Es256).unwrap().public().id.clone();
        assert_eq!(keeper_of(&[Algorithm::Es256]).retire(&id, haste).await.unwrap(), KeyChange::Signs);
        let operator = keeper_of(&[Algorithm::Ed25519]);
        if haste == Haste::Planned {
            let tomorrow = Timestamp::from_millis(86_400_000);
            assert_eq!(operator.retire(&id, haste).await.unwrap(), KeyChange::Ended(tomorrow));
            assert_eq!(operator.retire(&id, haste).await.unwrap(), KeyChange::NotBefore(tomorrow));
            clock.advance(DAY);
        }
        assert_eq!(operator.retire(&id, haste).await.unwrap(), KeyChange::Done(id));
        ring.reload().await.unwrap();
        assert!(ring.public_keys().iter().all(|key| key.algorithm == Algorithm::Ed25519), "none waits for it");
    }
}

#[tokio::test]
async fn a_damaged_or_exchanged_key_stops_the_start() {
    let keys = Keys::default();
    load(&keys, &[Algorithm::Es256]).await.unwrap();
    let good = keys.all()[0].clone();
    let mut bytes = good.sealed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    for bad in [
        StoredKey { sealed: Sealed::new(bytes), ..good.clone() },
        StoredKey { id: KeyId::new("another"), ..good.clone() },
        StoredKey { algorithm: Algorithm::Rs256, ..good },
    ] {
        *keys.all() = vec![bad];
        assert!(matches!(load(&keys, &[Algorithm::Es256]).await, Err(PortError::Corrupt(_))));
    }
}

#[tokio::test]
async fn debug_shows_ids_and_no_key() {
    let ring = ec_ring().await;
    assert_eq!(format!("{ring:?}"), format!("KeyRing {{ keys: [\"{}\"], .. }}", kid(&ring)));
}
