//! The life of a signing key, and when it goes on.
//!
//! ```text
//!  next ────▶ current ────▶ previous ────▶ retired
//!  published   signs         verifies       gone: its private
//!  ahead       tokens        what is left   key is forgotten
//! ```
//!
//! A key is published before it signs, so that whoever keeps the key set for a while knows it; and it is published after it signed for
//! as long as its tokens live. Each algorithm has one next and one current key. Where no API uses an algorithm any more, its current key
//! becomes a previous one without anybody to take over.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    id::KeyId,
    port::{key_store::StoredKey, signer::Algorithm},
    registry::{MFA_API_TOKEN_LIFETIME, Registry},
    time::Timestamp,
};

/// How long anybody may keep the key set: what its `Cache-Control` says.
pub const KEY_SET_CACHED: Duration = Duration::from_secs(300);

/// How much longer than its tokens a previous key is kept.
pub const KEPT_LONGER: Duration = Duration::from_secs(3600);

/// How long servers on one store may differ in what APIs are configured for, as while they are restarted one after the other.
pub const SERVERS_AGREE_WITHIN: Duration = Duration::from_secs(3600);

/// Where a signing key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// It signs.
    Current,
    /// Published, and signs nothing yet.
    Next,
    /// Signs nothing any more; what it signed is still good.
    Previous,
    /// What it signed is void.
    Retired,
}

impl KeyState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Current, Self::Next, Self::Previous, Self::Retired];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }
}

/// When keys go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// How long a key signs before the next one takes over. `None`: until an operator says so.
    pub age: Option<Duration>,
    /// How long a key is published before it signs.
    pub lead: Duration,
    /// How long a previous key is kept.
    pub keep: Duration,
}

impl RotationPolicy {
    /// When `key` may go on to its next state without anybody noticing; `None` for a retired one, which never does.
    pub fn ripe_at(&self, key: &StoredKey) -> Option<Timestamp> {
        match key.state {
            KeyState::Next => Some(key.changed_at.plus(self.lead)),
            KeyState::Current => self.age.map(|age| key.changed_at.plus(age)),
            KeyState::Previous => Some(key.changed_at.plus(self.keep)),
            KeyState::Retired => None,
        }
    }

    fn is_ripe(&self, key: &StoredKey, now: Timestamp) -> bool {
        self.ripe_at(key).is_some_and(|at| now >= at)
    }
}

/// How long a previous key has to be kept: as long as the longest token lives, and an hour.
pub fn keep_previous(registry: &Registry) -> Duration {
    let apis = registry.apis.values().map(|api| api.token_lifetime);
    let clients = registry.clients.values().map(|client| client.id_token_lifetime);
    let longest = apis.chain(clients).chain([registry.policy.userinfo_token_lifetime]).max();
    longest.unwrap_or_default().max(MFA_API_TOKEN_LIFETIME).saturating_add(KEPT_LONGER)
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Make a next key.
    Add(Algorithm),
    /// The next key takes over.
    Promote {
        /// It.
        next: KeyId,
        /// The one that has signed so far.
        current: KeyId,
    },
    /// No API uses the algorithm of a current key any more: it becomes a previous one.
    StepDown(KeyId),
    /// A key is not needed any more.
    Retire(KeyId, KeyState),
}

/// What APIs are configured for, as this process knows it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The algorithms to sign with.
    pub algorithms: BTreeSet<Algorithm>,
    /// Since when this process goes by that.
    pub since: Timestamp,
}

impl Wanted {
    /// Whether the current key `key` signs nothing any more, whichever server was asked. A key that others made or promoted a moment
    /// ago may be of an API that this process has yet to hear of, and one that this process has no use for may be used by others yet.
    fn is_orphan(&self, key: &StoredKey, now: Timestamp) -> bool {
        key.state == KeyState::Current
            && !self.algorithms.contains(&key.algorithm)
            && now >= key.changed_at.max(self.since).plus(SERVERS_AGREE_WITHIN)
    }
}

/// The steps that are due at `now`. Always one next key waits, so that an emergency finds one that the world knows.
///
/// Nothing is due where rotation is left to an operator.
pub fn turns(keys: &[StoredKey], wanted: &Wanted, policy: &RotationPolicy, now: Timestamp) -> Vec<Turn> {
    if policy.age.is_none() {
        return Vec::new();
    }
    let in_state = |algorithm, state| keys.iter().find(move |key| key.algorithm == algorithm && key.state == state);
    let mut turns = Vec::new();
    for algorithm in wanted.algorithms.iter().copied() {
        let Some(next) = in_state(algorithm, KeyState::Next) else {
            turns.push(Turn::Add(algorithm));
            continue;
        };
        if let Some(current) = in_state(algorithm, KeyState::Current)
            && policy.is_ripe(current, now)
            && policy.is_ripe(next, now)
        {
            turns.push(Turn::Promote { next: next.id.clone(), current: current.id.clone() });
        }
    }
    for orphan in keys.iter().filter(|key| wanted.is_orphan(key, now)) {
        turns.push(Turn::StepDown(orphan.id.clone()));
    }
    for gone in keys.iter().filter(|key| key.state == KeyState::Previous && policy.is_ripe(key, now)) {
        turns.push(Turn::Retire(gone.id.clone(), KeyState::Previous));
        // Its next key stays until then, and is published: should another server use the algorithm after all, it goes on with a key that the
        // world knows. One that was made since waits for an API, because an operator said so.
        let abandoned = in_state(gone.algorithm, KeyState::Current).is_none();
        let left =
            in_state(gone.algorithm, KeyState::Next).filter(|next| abandoned && next.created_at <= gone.changed_at);
        turns.extend(left.map(|next| Turn::Retire(next.id.clone(), KeyState::Next)));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Sealed;

    const HOUR: Duration = Duration::from_secs(3600);
    const POLICY: RotationPolicy =
        RotationPolicy { age: Some(Duration::from_secs(100 * 3600)), lead: Duration::from_secs(24 * 3600), keep: HOUR };

    fn key(id: &str, state: KeyState, hour: u32) -> StoredKey {
        let at = Timestamp::from_millis(0).plus(HOUR * hour);
        let (algorithm, sealed) = (Algorithm::Rs256, Sealed::new(Vec::new()));
        StoredKey { id: KeyId::new(id), algorithm, state, sealed, created_at: at, changed_at: at }
    }

    fn due(keys: &[StoredKey], hour: u32) -> Vec<Turn> {
        turns(keys, &wanted(), &POLICY, Timestamp::from_millis(0).plus(HOUR * hour))
    }

    /// RS256, since hour 50.
    fn wanted() -> Wanted {
        Wanted { algorithms: BTreeSet::from([Algorithm::Rs256]), since: Timestamp::from_millis(0).plus(HOUR * 50) }
    }

    fn promote() -> Turn {
        Turn::Promote { next: KeyId::new("n"), current: KeyId::new("c") }
    }

    #[test]
    fn a_next_key_is_made_long_before_it_is_needed() {
        assert_eq!(due(&[key("c", KeyState::Current, 0)], 1), [Turn::Add(Algorithm::Rs256)]);
        assert_eq!(due(&[key("c", KeyState::Current, 0), key("n", KeyState::Next, 1)], 2), []);
    }

    #[test]
    fn the_next_key_takes_over_when_the_current_one_is_old_and_it_was_published_long_enough() {
        let on_time = [key("c", KeyState::Current, 0), key("n", KeyState::Next, 1)];
        assert_eq!(due(&on_time, 99), []);
        assert_eq!(due(&on_time, 100), [promote()]);
        // The server was down when the current key grew old: the lead is kept all the same.
        let late = [key("c", KeyState::Current, 0), key("n", KeyState::Next, 150)];
        assert_eq!(due(&late, 173), []);
        assert_eq!(due(&late, 174), [promote()]);
    }

    #[test]
    fn a_previous_key_goes_when_its_tokens_are_gone_and_others_of_its_algorithm_stay() {
        let keys = [
            key("c", KeyState::Current, 10),
            key("n", KeyState::Next, 10),
            key("p", KeyState::Previous, 10),
            key("r", KeyState::Retired, 0),
        ];
        assert_eq!(due(&keys, 10), []);
        assert_eq!(due(&keys, 11), [Turn::Retire(KeyId::new("p"), KeyState::Previous)]);
    }

    #[test]
    fn nothing_happens_by_itself_where_rotation_is_off() {
        let keys = [key("c", KeyState::Current, 0), key("p", KeyState::Previous, 0)];
        let policy = RotationPolicy { age: None, ..POLICY };
        let now = Timestamp::from_millis(0).plus(HOUR * 10_000);
        assert_eq!(turns(&keys, &wanted(), &policy, now), []);
    }

    #[test]
    fn the_current_key_of_an_algorithm_that_no_api_uses_steps_down_when_all_servers_know() {
        let ours = [key("c", KeyState::Current, 49), key("n", KeyState::Next, 49)];
        let es = |id, state, hour| StoredKey { algorithm: Algorithm::Es256, ..key(id, state, hour) };
        let due = |theirs: &[StoredKey], hour| due(&[&ours[..], theirs].concat(), hour);
        let left = [es("ec", KeyState::Current, 1), es("en", KeyState::Next, 2)];
        assert_eq!(due(&left, 50), [], "others may sign with it yet");
        assert_eq!(
            due(&left, 51),
            [Turn::StepDown(KeyId::new("ec"))],
            "the next key stays: others may use it after all"
        );
        let young = [es("ec", KeyState::Current, 60)];
        assert_eq!(due(&young, 60), [], "somebody has just begun to use it");
        assert_eq!(due(&young, 61), [Turn::StepDown(KeyId::new("ec"))]);
        let last = Turn::Retire(KeyId::new("ep"), KeyState::Previous);
        let stepped = |next| [es("ep", KeyState::Previous, 51), es("en", KeyState::Next, next)];
        assert_eq!(due(&stepped(2), 51), []);
        assert_eq!(due(&stepped(2), 52), [last.clone(), Turn::Retire(KeyId::new("en"), KeyState::Next)]);
        assert_eq!(due(&stepped(52), 52), [last], "an operator has made it since");
        assert_eq!(due(&[es("en", KeyState::Next, 2)], 90), [], "it waits for an API");
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_due() {
        let keys = [key("c", KeyState::Current, 500), key("n", KeyState::Next, 500), key("p", KeyState::Previous, 500)];
        assert_eq!(due(&keys, 1), []);
    }
}
