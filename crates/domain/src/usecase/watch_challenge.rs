//! Wait for a device's answer without asking for it again and again.

use crate::{
    app::{App, Bearer, ClientCredentials, Origin},
    challenge::Decision,
    error::{Error, Reason, Throttle},
    opaque::{self, TokenKind},
    registry::{GrantType, Limit},
    secret::{Digest, Secret},
    time::Timestamp,
    wakes::Waiting,
};

/// A wish to watch.
#[derive(Clone, Debug)]
pub struct Command {
    /// The calling client.
    pub client: ClientCredentials,
    /// The pending login, or the token an enrolment was begun with.
    pub mfa_token: Bearer,
    /// The challenge.
    pub oob_code: Secret<String>,
    /// Where the caller is.
    pub origin: Origin,
}

/// A challenge that is being watched. It holds no account and no secret, so that many can wait.
#[derive(Debug)]
pub struct Watched {
    /// What the next look must find.
    pub waiting: Waiting,
    /// When it ends.
    pub expires_at: Timestamp,
    digest: Digest,
}

/// What became of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeState {
    /// Nothing yet.
    Pending,
    /// The device agreed: the grant will yield tokens.
    Approved,
    /// The device refused; it is final.
    Rejected,
    /// It is over: expired, superseded, or used.
    Expired,
}

impl App {
    /// A place at a challenge that a device answers.
    ///
    /// # Errors
    ///
    /// Any reason `WatchChallenge` lists in the protobuf contract.
    pub async fn watch_challenge(&self, command: Command) -> Result<Watched, Error> {
        let client = self.authenticate_challenger(&command.client, &command.origin).await?.client;
        client.may_use(GrantType::MfaOob)?;
        let now = self.clock.now();
        let token = &command.mfa_token;
        let account = if opaque::is_well_formed(TokenKind::Mfa, token.expose()) {
            self.find_login(token.expose(), Some(client), now).await?.account
        } else {
            self.watching(client, token, now).await?
        };
        if opaque::is_well_formed(TokenKind::Oob, command.oob_code.expose()) {
            return Err(Error::malformed("oob_code", "oob_code names a code to be typed in, not a device"));
        }
        let found = self.bound_approval(client, &account, token, &command.oob_code, now).await?;
        let (digest, expires_at) = (found.digest, found.approval.expires_at);
        let waiting = self.wakes.wait_for(digest).ok_or_else(|| {
            let Limit { capacity: limit, refill: retry_after } = self.registry.policy.poll_rate;
            Error::new(Reason::PollingTooFast).because("too many watch it").throttled(Throttle { limit, retry_after })
        })?;
        // Whoever opens one stream after the other asks as often as whoever polls.
        self.charge_poll(&found.approval.bearer, now).await?;
        Ok(Watched { waiting, expires_at, digest })
    }

    /// What became of `watched` so far.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn challenge_state(&self, watched: &Watched) -> Result<ChallengeState, Error> {
        let record = self.sessions.find_challenge(&watched.digest).await?;
        let decision = record.map(|record| self.decided(&watched.digest, record.decision)).transpose()?;
        Ok(match decision {
            None => ChallengeState::Expired,
            Some(Decision::Rejected) => ChallengeState::Rejected,
            _ if self.clock.now() >= watched.expires_at => ChallengeState::Expired,
            Some(Decision::Approved) => ChallengeState::Approved,
            Some(Decision::Pending) => ChallengeState::Pending,
        })
    }
}
