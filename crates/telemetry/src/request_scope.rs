//! What is known about the request being served, for the line written at its end.
//!
//! The scope is set on the thread whenever the request's future runs, so that code deep below can [`note`] a fact without
//! a handle being passed down. Work that is spawned onto other tasks is outside of it, unless it is [carried](carry) there.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Instrument as _;

use crate::trace_context::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// What a handler can tell the request line. Put it into the extensions of the response, or [`note`] it.
///
/// Nothing here may be secret or name a person; identifiers of clients and callers are fine.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts {
    /// Template of the HTTP route, such as `/mfa/authenticators/{id}`.
    pub route: Option<&'static str>,
    /// Why the request was refused: the name of an `ErrorReason`.
    pub reason: Option<&'static str>,
    /// How it went, where the status does not say it: `mfa_required`, `panicked`, `cancelled`.
    pub outcome: Option<&'static str>,
    /// The kind of factor that was judged.
    pub factor: Option<&'static str>,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// The process that called: a name from its certificate, or an address.
    pub caller: Option<String>,
    /// The id the caller gave the request, if it gave a good one: what it will ask about.
    pub caller_request_id: Option<String>,
}

impl RequestFacts {
    /// Takes over what `later` knows.
    fn merge(&mut self, later: Self) {
        self.route = later.route.or(self.route);
        self.reason = later.reason.or(self.reason);
        self.outcome = later.outcome.or(self.outcome);
        self.factor = later.factor.or(self.factor);
        self.client_id = later.client_id.or(self.client_id.take());
        self.caller = later.caller.or(self.caller.take());
        self.caller_request_id = later.caller_request_id.or(self.caller_request_id.take());
    }
}

/// Adds to what is known about the request being served. Outside of a request: does nothing.
pub fn note(change: impl FnOnce(&mut RequestFacts)) {
    if let Some(scope) = CURRENT.with_borrow(Clone::clone) {
        scope.note(change);
    }
}

/// `work` as a part of the request being served, on whatever task it runs: its lines have the request's trace, its spans are within the
/// request's, and what it [`note`]s is the request's for as long as that is not over.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let scope = CURRENT.with_borrow(Clone::clone);
    async move {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _scope = scope.as_ref().map(Scope::enter);
            work.as_mut().poll(cx)
        })
        .await
    }
    .in_current_span()
}

/// Where the request being served stands in its trace.
pub(crate) fn current_trace() -> Option<TraceContext> {
    // A log line may be written while a thread ends, when the slot is gone already.
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(|scope| scope.trace)).ok().flatten()
}

/// One request.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) trace: TraceContext,
    facts: Mutex<RequestFacts>,
}

impl Scope {
    pub(crate) fn new(trace: TraceContext) -> Arc<Self> {
        Arc::new(Self { trace, facts: Mutex::default() })
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut RequestFacts)) {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn merge(&self, facts: RequestFacts) {
        self.note(|known| known.merge(facts));
    }

    pub(crate) fn take_facts(&self) -> RequestFacts {
        std::mem::take(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes this the request being served until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        Entered(CURRENT.replace(Some(Arc::clone(self))))
    }
}

/// Restores the request that was served before: requests nest when the gateway calls the services in its own process.
pub(crate) struct Entered(Option<Arc<Scope>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn facts_reach_the_innermost_request() {
        let outer = Scope::new(TraceContext::root());
        let inner = Scope::new(TraceContext::root());
        let _outer = outer.enter();
        {
            let _inner = inner.enter();
            note(|facts| facts.reason = Some("PROOF_REJECTED"));
        }
        note(|facts| facts.factor = Some("otp"));
        assert_eq!(inner.take_facts().reason, Some("PROOF_REJECTED"));
        let outer = outer.take_facts();
        assert_eq!((outer.reason, outer.factor), (None, Some("otp")));
    }

    #[test]
    fn work_that_is_carried_belongs_to_the_request_it_was_begun_in() {
        let scope = Scope::new(TraceContext::root());
        let work = {
            let _scope = scope.enter();
            carry(async {
                note(|facts| facts.reason = Some("PROOF_REJECTED"));
                current_trace()
            })
        };
        let other = Scope::new(TraceContext::root());
        let _other = other.enter();
        let polled = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Some(scope.trace)));
        assert_eq!(current_trace(), Some(other.trace));
        assert_eq!((scope.take_facts().reason, other.take_facts().reason), (Some("PROOF_REJECTED"), None));
    }

    #[test]
    fn facts_outside_of_a_request_are_dropped() {
        note(|facts| facts.reason = Some("INTERNAL"));
        assert!(current_trace().is_none());
    }

    #[test]
    fn later_facts_win_and_absent_ones_do_not() {
        let scope = Scope::new(TraceContext::root());
        scope.note(|facts| {
            facts.reason = Some("INTERNAL");
            facts.client_id = Some("web".into());
        });
        scope.merge(RequestFacts { reason: Some("OVERLOADED"), ..RequestFacts::default() });
        let facts = scope.take_facts();
        assert_eq!((facts.reason, facts.client_id.as_deref()), (Some("OVERLOADED"), Some("web")));
    }
}
