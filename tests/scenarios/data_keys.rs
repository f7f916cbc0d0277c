//! Data keys: when they take over, what they leave, and when they may go.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_crypto::{
    data_key_keeper::{Batch, Begin, Blocks, DataKeyKeeper, Refused, Rotation},
    entropy::SystemEntropy,
    key_keeper::Haste,
    master_key::MasterKey,
    sealer::AeadSealer,
};
use countersign_domain::{
    audit::chain::AuditChain,
    data_key::{DataKeyId, DataKeyState, GRACE, LEAD, SETTLED, SealedCount, SealedIn},
    port::{
        PortError,
        clock::Clock as _,
        data_key_store::DataKeyStore as _,
        entropy::Entropy,
        sealer::{Place, Sealer},
    },
    secret::Sealed,
    testing::ManualClock,
    time::Timestamp,
};
use countersign_storage::sqlite::{SqliteOptions, SqliteStore};
use countersign_tests::dump;
use rusqlite::{Connection, params};
use tempfile::TempDir;

const KEK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const MILLI: Duration = Duration::from_millis(1);

/// Remembers every key it gave bytes for.
#[derive(Default)]
struct Remembering(Mutex<Vec<Vec<u8>>>);

impl Entropy for Remembering {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), PortError> {
        SystemEntropy::new().fill(buffer)?;
        if buffer.len() == 32 {
            self.0.lock().unwrap().push(buffer.to_vec());
        }
        Ok(())
    }
}

/// A store, and two processes that share it.
struct Shared {
    folder: TempDir,
    clock: Arc<ManualClock>,
    entropy: Arc<Remembering>,
    store: Arc<SqliteStore>,
    operator: (DataKeyKeeper, Arc<AeadSealer>),
    server: (DataKeyKeeper, Arc<AeadSealer>),
}

impl Shared {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (clock, entropy) = (Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))), Arc::default());
        let sealer = || {
            let entropy: Arc<Remembering> = Arc::clone(&entropy);
            Arc::new(AeadSealer::new(&MasterKey::parse(KEK).unwrap(), entropy).unwrap())
        };
        let chain = AuditChain::new(sealer());
        let path = folder.path().join("data.db");
        let store = Arc::new(SqliteStore::open(&path, &chain, SqliteOptions::default()).unwrap());
        let keeper = || {
            let sealer = sealer();
            (DataKeyKeeper::new(Arc::clone(&store) as _, Arc::clone(&sealer), clock.clone()), sealer)
        };
        let (operator, server) = (keeper(), keeper());
        server.1.grant(server.1.derived_id(), 1000, 1000);
        Self { folder, clock, entropy, store, operator, server }
    }

    /// One more process, which takes seals in such blocks and has none so far.
    fn process(&self, blocks: Blocks) -> (DataKeyKeeper, Arc<AeadSealer>) {
        let entropy: Arc<Remembering> = Arc::clone(&self.entropy);
        let sealer = Arc::new(AeadSealer::new(&MasterKey::parse(KEK).unwrap(), entropy).unwrap());
        let keeper = DataKeyKeeper::new(Arc::clone(&self.store) as _, Arc::clone(&sealer), self.clock.clone());
        (keeper.taking(blocks), sealer)
    }

    fn file(&self) -> Connection {
        Connection::open(self.folder.path().join("data.db")).unwrap()
    }

    /// Has the server seal a seed of somebody's.
    fn enrol(&self, n: u32) -> DataKeyId {
        let (id, user) = (format!("totp|dev_{n}"), format!("auth0|{n}"));
        let sealed = self.server.1.seal(place(&id, &user), user.as_bytes()).unwrap();
        let file = self.file();
        file.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        file.execute(
            "INSERT INTO authenticator (user_id, id, kind, status, state, preferred, failures, created_at) \
             VALUES (?1, ?2, 'otp', 'active', ?3, 0, 0, 1)",
            params![user, id, sealed.as_bytes()],
        )
        .unwrap();
        DataKeyId::of(&sealed).unwrap()
    }

    /// Whether the server opens the `n`th seed.
    fn opens(&self, n: u32) -> bool {
        let (id, user) = (format!("totp|dev_{n}"), format!("auth0|{n}"));
        let sql = "SELECT state FROM authenticator WHERE id = ?1";
        let sealed = Sealed::new(self.file().query_row(sql, [&id], |row| row.get(0)).unwrap());
        self.server.1.open(place(&id, &user), &sealed).is_ok_and(|opened| opened.expose() == user.as_bytes())
    }

    /// Puts the state of each of two authenticators in the place of the other's.
    fn swap(&self, one: u32, two: u32) {
        let (file, ids) = (self.file(), [one, two].map(|n| format!("totp|dev_{n}")));
        let states = ids.each_ref().map(|id| -> Vec<u8> {
            file.query_row("SELECT state FROM authenticator WHERE id = ?1", [id], |row| row.get(0)).unwrap()
        });
        for (id, state) in ids.iter().zip(states.iter().rev()) {
            file.execute("UPDATE authenticator SET state = ?2 WHERE id = ?1", params![id, state]).unwrap();
        }
    }

    /// What a server does once a second.
    async fn server_rereads(&self) {
        self.server.0.reload().await.unwrap();
        self.server.0.provide().await.unwrap();
    }

    async fn begin(&self) -> Rotation {
        self.operator.0.begin(Begin::OrGoOn).await.unwrap().unwrap()
    }

    async fn pass(&self, key: DataKeyId) -> Batch {
        let (mut pass, mut all) = (self.operator.0.seal_anew(key), Batch::default());
        while let Some(batch) = pass.next().await.unwrap() {
            (all.done, all.changed) = (all.done + batch.done, all.changed + batch.changed);
            all.broken.extend(batch.broken);
        }
        all
    }

    async fn drop_key(&self, key: DataKeyId, haste: Haste) -> Result<(), Refused> {
        self.operator.0.drop_key(key, haste).await.unwrap()
    }
}

fn place<'a>(id: &'a str, user: &'a str) -> Place<'a> {
    Place { record: "authenticator", id, owner: user }
}

#[tokio::test]
async fn a_new_key_is_known_everywhere_before_it_seals_anywhere() {
    let shared = Shared::new();
    let first = shared.enrol(1);
    let rotation = shared.begin().await;
    assert!(rotation.made && rotation.left == 1 && rotation.key != first, "{rotation:?}");
    assert_eq!(rotation.settled_at, shared.clock.now().plus(LEAD + SETTLED));
    shared.clock.advance(LEAD.checked_sub(MILLI).unwrap());
    shared.server_rereads().await;
    assert_eq!(shared.enrol(2), first, "not before its time");
    let again = shared.begin().await;
    assert_eq!((again.key, again.made), (rotation.key, false), "it waits, and there is no second one");
    let anew = shared.operator.0.begin(Begin::Anew).await.unwrap().unwrap();
    assert_eq!((anew.key, anew.made), (rotation.key, false));
    shared.clock.advance(MILLI);
    shared.server_rereads().await;
    assert_eq!(shared.enrol(3), rotation.key);
    assert!((1..=3).all(|n| shared.opens(n)));
}

#[tokio::test]
async fn what_is_left_of_a_rotation_goes_on_and_then_there_is_another() {
    let shared = Shared::new();
    for n in 0..250 {
        shared.enrol(n);
    }
    let first = shared.begin().await.key;
    shared.clock.advance(LEAD + SETTLED);
    shared.operator.0.reload().await.unwrap();
    let mut pass = shared.operator.0.seal_anew(first);
    assert_eq!(pass.next().await.unwrap().unwrap().done, 100);
    drop(pass);
    let again = shared.begin().await;
    assert_eq!((again.key, again.made, again.left), (first, false, 150));
    assert_eq!(shared.pass(first).await, Batch { done: 150, ..Batch::default() });
    shared.server_rereads().await;
    assert!((0..250).all(|n| shared.opens(n)));
    let next = shared.begin().await;
    assert!(next.made && next.key != first && next.left == 250, "{next:?}");
}

#[tokio::test]
async fn a_key_goes_after_its_grace_and_with_nothing_under_it() {
    let shared = Shared::new();
    let old = shared.enrol(1);
    shared.enrol(2);
    let new = shared.begin().await.key;
    assert_eq!(shared.drop_key(old, Haste::AtOnce).await, Err(Refused::Seals));
    assert_eq!(shared.drop_key(new, Haste::AtOnce).await, Err(Refused::Seals));
    assert_eq!(shared.drop_key(DataKeyId::new([7; 8]), Haste::AtOnce).await, Err(Refused::Unknown));
    let took_over = shared.clock.now().plus(LEAD);
    shared.clock.advance(LEAD);
    assert_eq!(shared.drop_key(old, Haste::AtOnce).await, Err(Refused::NotBefore(took_over.plus(SETTLED))));
    shared.clock.advance(SETTLED);
    assert_eq!(shared.drop_key(old, Haste::Planned).await, Err(Refused::NotBefore(took_over.plus(GRACE))));
    let in_use = |values| Err(Refused::InUse(vec![SealedCount { column: SealedIn::Authenticators, key: old, values }]));
    assert_eq!(shared.drop_key(old, Haste::AtOnce).await, in_use(2));
    shared.clock.advance(GRACE);
    assert_eq!(shared.drop_key(old, Haste::Planned).await, in_use(2));
    shared.operator.0.reload().await.unwrap();
    assert_eq!(shared.pass(new).await.done, 2);
    // A server that was away all the while seals with the old key still.
    assert_eq!(shared.enrol(3), old);
    assert_eq!(shared.drop_key(old, Haste::Planned).await, in_use(1));
    assert_eq!(shared.pass(new).await.done, 1);
    assert_eq!(shared.drop_key(old, Haste::Planned).await, Ok(()));
    assert_eq!(shared.drop_key(old, Haste::Planned).await, Err(Refused::Dropped));
    let states: Vec<_> =
        shared.operator.0.list().await.unwrap().into_iter().map(|key| (key.state, key.values)).collect();
    assert_eq!(states, [(DataKeyState::Dropped, 0), (DataKeyState::Current, 3)]);
    let late = shared.server.1.seal(place("totp|dev_9", "auth0|9"), b"seed").unwrap();
    let refused =
        shared.file().execute("UPDATE authenticator SET state = ?1 WHERE id = 'totp|dev_1'", [late.as_bytes()]);
    assert!(refused.unwrap_err().to_string().contains("dropped"), "what comes late stays out");
    shared.server_rereads().await;
    assert!((1..=3).all(|n| shared.opens(n)));
    assert_ne!(shared.enrol(4), old);
}

#[tokio::test]
async fn values_that_were_swapped_stay_shut_and_keep_their_key_from_going() {
    let shared = Shared::new();
    let old = shared.enrol(1);
    for n in 2..=4 {
        shared.enrol(n);
    }
    shared.swap(1, 2);
    let new = shared.begin().await.key;
    shared.clock.advance(LEAD + SETTLED);
    shared.operator.0.reload().await.unwrap();
    shared.server_rereads().await;
    let pass = shared.pass(new).await;
    let broken: Vec<_> = pass.broken.iter().map(|(column, id)| (*column, id.as_str())).collect();
    assert_eq!(broken, [(SealedIn::Authenticators, "totp|dev_1"), (SealedIn::Authenticators, "totp|dev_2")]);
    assert_eq!(pass.done, 2);
    assert_eq!([1, 2, 3, 4].map(|n| shared.opens(n)), [false, false, true, true]);
    // Swapped once more after they were sealed anew.
    shared.swap(3, 4);
    assert_eq!([3, 4].map(|n| shared.opens(n)), [false, false]);
    shared.clock.advance(GRACE);
    let refused = shared.drop_key(old, Haste::Planned).await;
    assert_eq!(
        refused,
        Err(Refused::InUse(vec![SealedCount { column: SealedIn::Authenticators, key: old, values: 2 }]))
    );
    // They do not keep anybody from going on with another key.
    let next = shared.operator.0.begin(Begin::Anew).await.unwrap().unwrap();
    assert!(next.made && next.left == 4);
}

#[tokio::test]
async fn a_value_that_changes_while_it_is_sealed_anew_is_not_lost() {
    let shared = Shared::new();
    shared.enrol(1);
    let new = shared.begin().await.key;
    shared.clock.advance(LEAD + SETTLED);
    shared.operator.0.reload().await.unwrap();
    shared.operator.0.provide().await.unwrap();
    shared.server_rereads().await;
    let read = shared.store.list_sealed(SealedIn::Authenticators, new, None, 10).await.unwrap().remove(0);
    let anew = shared.operator.1.seal_anew(read.place().unwrap(), &read.sealed, new).unwrap();
    let changed = shared.server.1.seal(read.place().unwrap(), b"changed").unwrap();
    shared.file().execute("UPDATE authenticator SET state = ?1", [changed.as_bytes()]).unwrap();
    assert_eq!(shared.store.replace_sealed(vec![(read, anew)]).await.unwrap(), 0);
    assert!(!shared.opens(1), "it is what it was changed to");
    assert_eq!(shared.operator.0.left(new).await.unwrap(), 0);
}

#[tokio::test]
async fn no_data_key_is_in_the_file() {
    let shared = Shared::new();
    shared.enrol(1);
    let key = shared.begin().await.key;
    shared.clock.advance(LEAD + SETTLED);
    shared.operator.0.reload().await.unwrap();
    assert_eq!(shared.pass(key).await.done, 1);
    let keys = shared.entropy.0.lock().unwrap().clone();
    assert_eq!(keys.len(), 1, "one was made");
    let stored = dump::sqlite(&shared.folder.path().join("data.db"));
    let key = key.to_string();
    assert!(stored.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(&key)), "the trail names it");
    for (place, bytes) in &stored {
        assert!(!bytes.windows(16).any(|window| keys[0].windows(16).any(|part| part == window)), "{place}");
    }
}

/// How many of `wanted` values are sealed.
fn sealed(sealer: &AeadSealer, wanted: usize) -> usize {
    (0..wanted).filter(|_| sealer.seal(place("totp|dev_1", "auth0|1"), b"seed").is_ok()).count()
}

#[tokio::test]
async fn a_key_that_has_sealed_as_much_as_it_may_seals_nothing_more_in_any_process() {
    let shared = Shared::new();
    let blocks = Blocks { least: 4, most: 4, limit: 12, due: 8 };
    let ((one, its), (two, others)) = (shared.process(blocks), shared.process(blocks));
    assert_eq!(sealed(&its, 1), 0, "none was taken");
    one.provide().await.unwrap();
    two.provide().await.unwrap();
    one.provide().await.unwrap();
    assert_eq!(sealed(&its, 3), 3, "a block is left that it need not take again");
    one.provide().await.unwrap();
    assert_eq!(one.seals_taken(), 12);
    assert_eq!(sealed(&others, 9), 4);
    // Nothing is left for the one that has none, nor for one that begins anew: what a process had and did not use is lost.
    let (three, none) = shared.process(blocks);
    for keeper in [&two, &three] {
        assert!(keeper.provide().await.is_err());
    }
    assert_eq!((sealed(&others, 1), sealed(&none, 1)), (0, 0));
    assert_eq!(sealed(&its, 9), 5, "12 in all, as it may");
    let listed = shared.operator.0.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].seals, listed[0].state), (1, 12, DataKeyState::Current));

    // Another key takes over, which was not sealed with anything that is counted here.
    let new = shared.begin().await.key;
    shared.clock.advance(LEAD);
    two.reload().await.unwrap();
    assert_eq!(sealed(&others, 1), 0, "not before some were taken of it");
    two.provide().await.unwrap();
    assert_eq!(sealed(&others, 9), 4);
    let listed = shared.operator.0.list().await.unwrap();
    assert_eq!(listed.iter().map(|key| (key.id == new, key.seals)).collect::<Vec<_>>(), [(false, 12), (true, 4)]);
}

#[tokio::test]
async fn whoever_will_seal_has_seals_before_it_is_time() {
    let shared = Shared::new();
    let (keeper, sealer) = shared.process(Blocks::COMMAND);
    shared.begin().await;
    keeper.reload().await.unwrap();
    keeper.provide().await.unwrap();
    shared.clock.advance(LEAD);
    // The store goes away just then.
    keeper.reload().await.unwrap();
    shared.file().execute_batch("ALTER TABLE data_key_seals RENAME TO lost").unwrap();
    assert_eq!(sealed(&sealer, 500), 500);
    keeper.provide().await.unwrap();
    assert_eq!(sealed(&sealer, 100), 100);
    assert!(keeper.provide().await.is_err(), "less than half is left, and nobody can be asked");
    assert_eq!(sealed(&sealer, 1000), 424, "what was taken is used, and no more");
    shared.file().execute_batch("ALTER TABLE lost RENAME TO data_key_seals").unwrap();
    keeper.provide().await.unwrap();
    assert_eq!(sealed(&sealer, 1), 1);
}

#[tokio::test]
async fn sealing_everything_anew_takes_what_it_needs() {
    let shared = Shared::new();
    for n in 0..950 {
        shared.enrol(n);
    }
    let (keeper, _) = shared.process(Blocks { least: 200, most: 400, ..Blocks::COMMAND });
    let new = keeper.begin(Begin::OrGoOn).await.unwrap().unwrap().key;
    shared.clock.advance(LEAD);
    keeper.reload().await.unwrap();
    let mut pass = keeper.seal_anew(new);
    while pass.next().await.unwrap().is_some() {}
    assert_eq!(keeper.left(new).await.unwrap(), 0);
    let seals = keeper.list().await.unwrap().last().unwrap().seals;
    assert!((950..=1400).contains(&seals), "{seals}");
}
