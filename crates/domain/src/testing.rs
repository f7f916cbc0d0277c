//! A clock that is set by hand and entropy from a seed. For tests only: the feature `testing`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::{
    audit::chain::AuditChain,
    port::{
        PortError,
        clock::Clock,
        entropy::Entropy,
        sealer::{DigestPurpose, Place, Sealer},
    },
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and follow from a seed (splitmix64). Never for production.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// A source that starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), PortError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            for (byte, random) in chunk.iter_mut().zip((word ^ (word >> 31)).to_le_bytes()) {
                *byte = random;
            }
        }
        Ok(())
    }
}

/// The chain of stores whose tests are about something else. Its digests hide nothing.
pub fn toy_chain() -> AuditChain {
    AuditChain::new(std::sync::Arc::new(ToySealer(0)))
}

/// Digests that depend on every byte, and seals that are none. Never for production.
#[derive(Debug)]
pub struct ToySealer(pub u64);

impl Sealer for ToySealer {
    fn seal(&self, _: Place<'_>, plaintext: &[u8]) -> Result<Sealed, PortError> {
        Ok(Sealed::new(plaintext.to_vec()))
    }

    fn open(&self, _: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        Ok(Secret::new(sealed.as_bytes().to_vec()))
    }

    fn keyed_digest(&self, _: DigestPurpose, parts: &[&[u8]]) -> Digest {
        let mut state = self.0;
        for part in parts {
            state = mix(state, part.len() as u64);
            for byte in *part {
                state = mix(state, u64::from(*byte));
            }
        }
        let mut digest = [0; 32];
        for chunk in digest.chunks_mut(8) {
            state = mix(state, 1);
            chunk.copy_from_slice(&state.to_be_bytes());
        }
        Digest::new(digest)
    }

    fn token_digest(&self, domain: &'static str, value: &[u8]) -> Digest {
        self.keyed_digest(DigestPurpose::Integrity, &[domain.as_bytes(), value])
    }
}

const fn mix(state: u64, value: u64) -> u64 {
    let word = (state ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^ (word >> 29)
}
