//! Waking those who wait for a device's answer in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use event_listener::{Event, EventListener};

use crate::secret::Digest;

/// Who waits, by challenge. Nothing follows from a wake but that it is worth to look again; who is asked by another process is not
/// woken and looks now and then.
#[derive(Debug, Default)]
pub struct Wakes(Mutex<HashMap<Digest, Weak<Event>>>);

/// A place at a challenge. It is given up when dropped.
#[derive(Debug)]
pub struct Waiting {
    all: Arc<Wakes>,
    challenge: Digest,
    event: Arc<Event>,
}

impl Wakes {
    /// Takes a place at `challenge`.
    pub fn wait_for(self: &Arc<Self>, challenge: Digest) -> Waiting {
        let mut all = self.lock();
        let event = all.get(&challenge).and_then(Weak::upgrade).unwrap_or_else(|| {
            let event = Arc::new(Event::new());
            all.insert(challenge, Arc::downgrade(&event));
            event
        });
        Waiting { all: Arc::clone(self), challenge, event }
    }

    /// Wakes all who wait for `challenge`.
    pub fn wake(&self, challenge: &Digest) {
        let event = self.lock().get(challenge).and_then(Weak::upgrade);
        if let Some(event) = event {
            event.notify(usize::MAX);
        }
    }

    /// How many challenges are waited for.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Event>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Ends with the next wake. Listen first, then look: what happens in between is not missed.
    pub fn listen(&self) -> EventListener {
        self.event.listen()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // This one is still counted, and whoever comes meanwhile needs the lock to count.
        if Arc::strong_count(&self.event) == 1 {
            all.remove(&self.challenge);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use event_listener::Listener as _;

    use super::*;

    #[test]
    fn everybody_at_a_challenge_is_woken_and_nobody_else() {
        let wakes = Arc::new(Wakes::default());
        let (one, other) = (Digest::new([1; 32]), Digest::new([2; 32]));
        let (first, second, third) = (wakes.wait_for(one), wakes.wait_for(one), wakes.wait_for(other));
        let (heard, too, not) = (first.listen(), second.listen(), third.listen());
        wakes.wake(&one);
        assert!(heard.wait_timeout(Duration::from_secs(60)).is_some());
        assert!(too.wait_timeout(Duration::from_secs(60)).is_some());
        assert!(not.wait_timeout(Duration::ZERO).is_none());
    }

    #[test]
    fn a_place_that_is_given_up_is_forgotten() {
        let wakes = Arc::new(Wakes::default());
        let digest = Digest::new([1; 32]);
        let (first, second) = (wakes.wait_for(digest), wakes.wait_for(digest));
        drop(first);
        assert_eq!(wakes.len(), 1);
        drop(second);
        assert!(wakes.is_empty());
        wakes.wake(&digest);
    }
}
