//! How much of everything a run does.

use std::time::Duration;

/// Sizes of a run. A tenth of each is for warming up.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long a yardstick on threads is measured.
    pub span: Duration,
    /// Calls of the empty server, and round trips to Redis.
    pub trips: usize,
    /// Second factors of each kind; each takes a person of its own.
    pub second_factors: usize,
    /// Second factors that are answered with two RS256 tokens; each takes a person of its own.
    pub two_tokens: usize,
    /// Refresh tokens that are exchanged in turn; each takes a person of its own.
    pub families: usize,
    /// Exchanges of refresh tokens, and as many introspections of access tokens.
    pub exchanges: usize,
    /// Password steps, and as many full logins.
    pub logins: usize,
    /// How often hashes and full logins take turns.
    pub turns: usize,
    /// Enrolments; each takes a person of its own.
    pub associations: usize,
    /// Codes that are sent; each takes a person of its own.
    pub codes: usize,
    /// Clients that wait for a device at the same time; each takes a person of its own.
    pub waiting: usize,
    /// Devices that answer meanwhile.
    pub answers: usize,
    /// Lists of authenticators.
    pub lists: usize,
    /// Starts of the server.
    pub starts: usize,
}

impl Plan {
    /// What figures are quoted from: CPU times, which the kernel tells in steps of 10 ms, are good to about one in a hundred.
    pub const FULL: Self = Self {
        span: Duration::from_secs(4),
        trips: 40_000,
        second_factors: 8_000,
        two_tokens: 6_000,
        families: 1_000,
        exchanges: 12_000,
        logins: 1_500,
        turns: 10,
        associations: 4_000,
        codes: 6_000,
        waiting: 5_000,
        answers: 2_000,
        lists: 12_000,
        starts: 7,
    };

    /// Less than a minute, to see that everything works and roughly where it stands.
    pub const QUICK: Self = Self {
        span: Duration::from_millis(800),
        trips: 8_000,
        second_factors: 1_500,
        two_tokens: 1_000,
        families: 200,
        exchanges: 2_000,
        logins: 300,
        turns: 3,
        associations: 800,
        codes: 1_000,
        waiting: 1_000,
        answers: 300,
        lists: 2_000,
        starts: 3,
    };
}
