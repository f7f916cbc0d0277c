//! Notices: what a person is told of by e-mail, whoever did it (NIST SP 800-63B-4, section 4.6).
//!
//! A notice is a row of the outbox, written in the transaction that made it true. It is worded in the language of the request that
//! caused it, where there was one: nothing else tells what the person reads.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    account::Account,
    app::{App, Origin},
    authenticator::{Authenticator, RecoveryStatus, Status},
    error::{Error, Reason},
    id::UserId,
    message::{Channel, Content, Message, Notice, NoticeEvent, OutboxRow},
    opaque::{self, TokenKind},
    port::{
        PortError,
        login_store::{Burn, Failure, FailureTarget, LoginCommit, NewRepudiation},
        sender::ChannelState,
        session_store::Settlement,
    },
    registry::Limit,
    secret::{Digest, Secret},
    time::Timestamp,
    user::User,
};

/// How long a notice is tried to be sent, and its link is good for. Mail may be down for a night, and people have weekends.
const LIFETIME: Duration = Duration::from_secs(3 * 86_400);

/// Failures in a row that a person is told of.
const TOLD_AT: u32 = 3;

/// How often a person is told of what others can bring about again and again.
const DAILY: Limit = Limit { capacity: 1, refill: Duration::from_secs(86_400) };

impl App {
    /// `event`, to everybody who is to know. `authenticator` is what its owner knows it by. Empty if nobody can be told: there is no
    /// address, or no provider of e-mail.
    ///
    /// # Errors
    ///
    /// The sealer failed; there is no randomness.
    pub(crate) fn notices(
        &self,
        user: &User,
        event: NoticeEvent,
        authenticator: Option<String>,
        languages: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.write(user, &Notice { event, authenticator, repudiate: None }, languages, now)
    }

    /// `login` with what tells of it, if it confirms an enrolment of `account`: of the authenticator, with a link that removes it, and of
    /// the recovery code that becomes active with it.
    ///
    /// # Errors
    ///
    /// The sealer failed; there is no randomness.
    pub(crate) fn telling(
        &self,
        mut login: LoginCommit,
        account: &Account,
        origin: &Origin,
    ) -> Result<LoginCommit, Error> {
        let Burn::Confirm { authenticator, .. } = &login.burn else { return Ok(login) };
        let Some(authenticator) = account.authenticator(authenticator) else { return Ok(login) };
        let (user, now, languages) = (&account.user, login.now, origin.languages.as_deref());
        if self.readers(user).is_empty() {
            return Ok(login);
        }
        let token = opaque::mint(TokenKind::Notice, self.entropy.as_ref())?;
        login.repudiation = Some(NewRepudiation {
            digest: self.notice_digest(&token),
            authenticator: authenticator.id.clone(),
            expires_at: now.plus(LIFETIME),
        });
        // The host is the issuer's: whoever asked has no say in where the link leads.
        let link = Secret::new(format!("{}notices/{}", self.registry.issuer, token.expose()));
        let added = Notice {
            event: NoticeEvent::FactorAdded,
            authenticator: self.known_as(authenticator)?,
            repudiate: Some(link),
        };
        login.messages.extend(self.write(user, &added, languages, now)?);
        // While no code is confirmed, each bearer is shown one of its own with its first enrolment.
        if account.recovery_code.as_ref().is_some_and(|code| code.status == RecoveryStatus::Pending) {
            login.messages.extend(self.notices(user, NoticeEvent::RecoveryCodeCreated, None, languages, now)?);
        }
        Ok(login)
    }

    /// What tells of the removal of `gone`, of which pending ones are nobody's business. They are named if they have one name.
    ///
    /// # Errors
    ///
    /// The sealer failed; there is no randomness.
    pub(crate) fn notices_of_removal<'a>(
        &self,
        user: &User,
        gone: impl IntoIterator<Item = &'a Authenticator>,
        languages: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, Error> {
        let confirmed = gone.into_iter().filter(|a| was_confirmed(a));
        let names = confirmed.map(|a| self.known_as(a)).collect::<Result<BTreeSet<_>, _>>()?;
        let name = if names.len() == 1 { names.into_iter().next().flatten() } else { None };
        self.notices(user, NoticeEvent::FactorRemoved, name, languages, now)
    }

    /// `failure` with what tells of it, if it is the third in a row. A wrong code while enrolling is no news.
    ///
    /// # Errors
    ///
    /// The sealer failed; there is no randomness.
    pub(crate) fn told(&self, failure: Failure, account: &Account, origin: &Origin) -> Result<Failure, Error> {
        let news = match &failure.target {
            FailureTarget::Authenticators(ids) => {
                ids.iter().filter_map(|id| account.authenticator(id)).any(was_confirmed)
            }
            FailureTarget::Address | FailureTarget::RecoveryCode => true,
        };
        if !news {
            return Ok(failure);
        }
        let languages = origin.languages.as_deref();
        let messages =
            self.notices(&account.user, NoticeEvent::SecondFactorFailed, None, languages, failure.audit.at)?;
        Ok(Failure { notify_at: TOLD_AT, messages, ..failure })
    }

    /// Tells of tries that ran out and counted against nothing the person has: codes of an app, while they have none. Who guesses like
    /// that knows the password. Once a day.
    ///
    /// # Errors
    ///
    /// A store or the sealer failed; there is no randomness.
    pub(crate) async fn tell_of_exhaustion(
        &self,
        refusal: &Error,
        account: &Account,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), Error> {
        let user = &account.user;
        if refusal.reason() != Reason::TooManyAttempts || !account.authenticators.iter().any(was_confirmed) {
            return Ok(());
        }
        let messages = self.notices(user, NoticeEvent::SecondFactorFailed, None, origin.languages.as_deref(), now)?;
        self.once_a_day(&user.id, "email-exhaustion", messages, now, |messages| self.outbox.insert(messages)).await
    }

    /// Has `write` write `messages`, or none if the person was told of this within a day. Where they could not be written, nobody was told.
    ///
    /// # Errors
    ///
    /// A store failed; there is no randomness.
    pub(crate) async fn once_a_day<W: Future<Output = Result<(), PortError>>>(
        &self,
        user: &UserId,
        counter: &'static str,
        mut messages: Vec<OutboxRow>,
        now: Timestamp,
        write: impl FnOnce(Vec<OutboxRow>) -> W,
    ) -> Result<(), Error> {
        let charged = if messages.is_empty() {
            None
        } else {
            match self.charge_rate(user, counter, DAILY, now).await {
                Ok(charged) => Some(charged),
                Err(error) if error.reason() == Reason::RateLimited => None,
                Err(error) => return Err(error),
            }
        };
        if charged.is_none() {
            messages.clear();
        }
        let written = write(messages).await;
        match (&written, charged) {
            (Ok(()), Some(_)) => self.bell.ring(),
            (Err(_), Some(charged)) => {
                self.sessions.settle(Settlement { refund: vec![charged], ..Settlement::default() }, now).await;
            }
            (_, None) => {}
        }
        Ok(written?)
    }

    /// What is kept of the token of a link.
    pub(crate) fn notice_digest(&self, token: &Secret<String>) -> Digest {
        self.sealer.token_digest(TokenKind::Notice.digest_domain(), token.expose().as_bytes())
    }

    /// One row for each reader.
    fn write(
        &self,
        user: &User,
        notice: &Notice,
        languages: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<OutboxRow>, Error> {
        let readers = self.readers(user).into_iter();
        let rows = readers.map(|address| {
            let message = Message {
                id: Message::new_id(self.entropy.as_ref())?,
                channel: Channel::Email,
                to: Secret::new(address.to_owned()),
                content: Content::Notice(notice.clone()),
                languages: languages.map(str::to_owned),
                created_at: now,
                expires_at: now.plus(LIFETIME),
            };
            message.seal(&user.id, self.sealer.as_ref())
        });
        rows.collect()
    }

    /// Where notices go. A channel that is down is no reason to be silent: they wait.
    fn readers<'a>(&self, user: &'a User) -> Vec<&'a str> {
        if self.sender.state(Channel::Email) == ChannelState::Absent { Vec::new() } else { user.notice_addresses() }
    }
}

fn was_confirmed(authenticator: &Authenticator) -> bool {
    !matches!(authenticator.status, Status::Pending { .. })
}
