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
    /// `None` only while it is given up.
    event: Option<Arc<Event>>,
}

/// Places at one challenge.
const MOST: usize = 8;

impl Wakes {
    /// Takes a place at `challenge`; `None` if all are taken.
    pub fn wait_for(self: &Arc<Self>, challenge: Digest) -> Option<Waiting> {
        let mut all = self.lock();
        let waiting = all.get(&challenge);
        if waiting.is_some_and(|event| event.strong_count() >= MOST) {
            return None;
        }
        let event = waiting.and_then(Weak::upgrade).unwrap_or_else(|| {
            let event = Arc::new(Event::new());
            all.insert(challenge, Arc::downgrade(&event));
            event
        });
        Some(Waiting { all: Arc::clone(self), challenge, event: Some(event) })
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
    pub fn listen(&self) -> Option<EventListener> {
        self.event.as_ref().map(|event| event.listen())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // While the lock is held: of two that leave at once, one is the last.
        drop(self.event.take());
        if all.get(&self.challenge).is_some_and(|event| event.strong_count() == 0) {
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
        let places = [one, one, other].map(|challenge| wakes.wait_for(challenge).unwrap());
        let [heard, too, not] = places.each_ref().map(|place| place.listen().unwrap());
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
        assert!(second.is_some());
        drop(first);
        assert_eq!(wakes.len(), 1);
        drop(second);
        assert!(wakes.is_empty());
        wakes.wake(&digest);
    }

    #[test]
    fn a_challenge_has_eight_places_and_whoever_leaves_makes_room() {
        let wakes = Arc::new(Wakes::default());
        let digest = Digest::new([1; 32]);
        let mut places: Vec<_> = (0..MOST).map(|_| wakes.wait_for(digest).unwrap()).collect();
        assert!(wakes.wait_for(digest).is_none());
        assert!(wakes.wait_for(Digest::new([2; 32])).is_some());
        places.pop();
        assert!(wakes.wait_for(digest).is_some());
    }

    #[test]
    fn who_leaves_at_once_leaves_nothing() {
        let wakes = Arc::new(Wakes::default());
        for _ in 0..500 {
            let places: Vec<_> = (0..4).map(|_| wakes.wait_for(Digest::new([1; 32])).unwrap()).collect();
            std::thread::scope(|scope| {
                for place in places {
                    scope.spawn(move || drop(place));
                }
            });
            assert!(wakes.is_empty());
        }
    }
}
