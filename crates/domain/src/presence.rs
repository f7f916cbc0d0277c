//! Whether somebody still waits for the answer of a call.
//!
//! A call goes on without its caller: what was reserved is judged, and a verdict is counted and written down, whoever hung up meanwhile.
//! Only what was not begun need not be, and for a password that is worth knowing: its hash is the one thing here that is dear.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use event_listener::Event;

/// What a call knows of who waits for it. By default somebody does, for ever.
#[derive(Clone, Debug, Default)]
pub struct Presence(Option<Arc<State>>);

/// Who waits. Dropped, they have left.
#[derive(Debug)]
pub struct Waiter(Arc<State>);

#[derive(Debug, Default)]
struct State {
    left: AtomicBool,
    changed: Event,
}

impl Presence {
    /// Somebody who waits, and what the call knows of them.
    pub fn of_caller() -> (Waiter, Self) {
        let state = Arc::<State>::default();
        (Waiter(Arc::clone(&state)), Self(Some(state)))
    }

    /// Whether they have left.
    pub fn has_left(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.left.load(Ordering::SeqCst))
    }

    /// Until they have left.
    pub async fn leaving(&self) {
        let Some(state) = &self.0 else { return pending().await };
        loop {
            // Listen first, then look: what happens in between is heard.
            let heard = state.changed.listen();
            if self.has_left() {
                return;
            }
            heard.await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn who_is_dropped_has_left_and_everybody_hears_of_it() {
        let (waiter, presence) = Presence::of_caller();
        let (also, mut cx) = (presence.clone(), Context::from_waker(Waker::noop()));
        let (mut one, mut two) = (pin!(presence.leaving()), pin!(also.leaving()));
        assert!(one.as_mut().poll(&mut cx).is_pending() && two.as_mut().poll(&mut cx).is_pending());
        assert!(!presence.has_left());
        drop(waiter);
        assert!(presence.has_left());
        assert!(one.as_mut().poll(&mut cx).is_ready() && two.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(presence.leaving()).poll(&mut cx).is_ready(), "also who asks later");
    }

    #[test]
    fn without_a_caller_nobody_leaves() {
        let presence = Presence::default();
        assert!(!presence.has_left());
        assert!(pin!(presence.leaving()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}
