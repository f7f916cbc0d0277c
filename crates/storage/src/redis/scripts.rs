//! The scripts: each is one atomic step on the server.

use std::time::Duration;

use countersign_domain::{
    challenge::ChallengeRecord,
    port::session_store::{AttemptId, Bucket, Settlement},
    secret::Digest,
    time::Timestamp,
};
use redis::{RedisResult, Script, ScriptInvocation, aio::MultiplexedConnection};

use super::{TimeSource, keys, records::encode_challenge};
use crate::bucket::refill_millis;

/// How long a bucket is kept after it is full again.
const MARGIN_MILLIS: u32 = 60_000;

pub(super) struct Scripts {
    reserve: Script,
    settle: Script,
    wait: Script,
    exhaust: Script,
    challenge: Script,
    take_try: Script,
    decide: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: Script::new(include_str!("reserve.lua")),
            settle: Script::new(include_str!("settle.lua")),
            wait: Script::new(include_str!("wait.lua")),
            exhaust: Script::new(include_str!("exhaust.lua")),
            challenge: Script::new(include_str!("challenge.lua")),
            take_try: Script::new(include_str!("take_try.lua")),
            decide: Script::new(include_str!("decide.lua")),
        }
    }

    pub(super) fn reserve(
        &self,
        buckets: &[Bucket],
        attempt: AttemptId,
        now: Timestamp,
        time: TimeSource,
    ) -> ScriptInvocation<'_> {
        let mut call = self.reserve.prepare_invoke();
        call.arg(&attempt.0[..]).arg(clock(now, time)).arg(MARGIN_MILLIS);
        for bucket in buckets {
            call.key(keys::bucket(&bucket.key)).arg(bucket.capacity).arg(refill(bucket)).arg(u8::from(bucket.locks));
        }
        call.key(keys::KEPT_FROM);
        call
    }

    /// Has the server know what [`Scripts::settle`] invokes.
    pub(super) async fn load_settle(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.settle.load_async(connection).await.map(drop)
    }

    pub(super) fn settle(&self, settlement: &Settlement, now: Timestamp, time: TimeSource) -> ScriptInvocation<'_> {
        let mut call = self.settle.prepare_invoke();
        call.arg(clock(now, time)).arg(MARGIN_MILLIS);
        for (bucket, attempt) in &settlement.refund {
            call.key(keys::bucket(&bucket.key)).arg(&attempt.0[..]).arg(bucket.capacity).arg(refill(bucket));
        }
        // The slot of a challenge stays, and names nothing.
        let over = [
            settlement.transaction.as_ref().map(keys::transaction),
            settlement.challenge.as_ref().map(keys::challenge),
            settlement.reset.as_ref().map(keys::bucket),
        ];
        for key in over.into_iter().flatten() {
            call.key(key);
        }
        call
    }

    pub(super) fn wait(&self, bucket: &Bucket, now: Timestamp, time: TimeSource) -> ScriptInvocation<'_> {
        let mut call = self.wait.key(keys::bucket(&bucket.key));
        call.arg(clock(now, time)).arg(bucket.capacity).arg(refill(bucket));
        call
    }

    pub(super) fn exhaust(&self, key: String) -> ScriptInvocation<'_> {
        self.exhaust.key(key)
    }

    pub(super) fn challenge(&self, record: &ChallengeRecord, ttl: (&str, u64)) -> ScriptInvocation<'_> {
        let mut call = self.challenge.key(keys::challenge(&record.digest));
        call.key(keys::slot(&record.slot)).arg(encode_challenge(record)).arg(ttl.0).arg(ttl.1);
        call
    }

    pub(super) fn take_try(&self, digest: &Digest) -> ScriptInvocation<'_> {
        self.take_try.key(keys::challenge(digest))
    }

    pub(super) fn decide(&self, digest: &Digest, mark: &Digest) -> ScriptInvocation<'_> {
        let mut call = self.decide.key(keys::challenge(digest));
        call.arg(&mark.as_bytes()[..]);
        call
    }
}

fn clock(now: Timestamp, time: TimeSource) -> String {
    match time {
        TimeSource::Server => String::new(),
        TimeSource::Caller => now.as_millis().to_string(),
    }
}

/// Lua counts in doubles: beyond a thousand years it does not matter how long exactly.
fn refill(bucket: &Bucket) -> u64 {
    const LONGEST: Duration = Duration::from_secs(86_400 * 365_000);
    u64::try_from(refill_millis(bucket).min(LONGEST.as_millis())).unwrap_or(u64::MAX)
}
