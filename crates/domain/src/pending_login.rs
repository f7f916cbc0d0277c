//! The pending login behind an `mfa_token`: kept, found, judged.

use crate::{
    account::Account,
    app::{App, Origin},
    audit::Event,
    authenticator::FactorKind,
    error::{Error, Reason, Throttle},
    factor::{oob, otp, recovery_code},
    opaque::{self, TokenKind},
    over::Over,
    port::{
        PortError,
        login_store::{ConsumedTransaction, sweep_at},
        sealer::{Place, record},
    },
    registry::Client,
    secret::{Digest, Secret},
    time::Timestamp,
    transaction::{MfaTransaction, TransactionRecord},
};

/// A pending login that can still be completed, and whose it is.
pub(crate) struct PendingLogin {
    /// Its key.
    pub digest: Digest,
    /// What was remembered.
    pub transaction: MfaTransaction,
    /// The account now.
    pub account: Account,
}

impl PendingLogin {
    /// What completing it uses up.
    pub(crate) fn consumed(&self) -> ConsumedTransaction {
        ConsumedTransaction { digest: self.digest, sweep_at: sweep_at(self.transaction.expires_at) }
    }
}

impl App {
    /// Remembers a login whose first factor is proven; the answer is its `mfa_token`.
    ///
    /// # Errors
    ///
    /// No randomness; the sealer or the session store failed.
    pub(crate) async fn keep_login(&self, transaction: &MfaTransaction) -> Result<Secret<String>, Error> {
        let (token, digest) =
            opaque::mint_handle(TokenKind::Mfa, transaction.expires_at, &*self.entropy, &*self.sealer)?;
        let plain = serde_json::to_vec(transaction).map_err(|error| PortError::Corrupt(Box::new(error)))?;
        let sealed = self.sealer.seal(place(&data_encoding::HEXLOWER.encode(digest.as_bytes())), &plain)?;
        let record = TransactionRecord { digest, sealed, expires_at: transaction.expires_at, exhausted: false };
        self.sessions.insert_transaction(record).await?;
        Ok(token)
    }

    /// The pending login that `token` names, if it can still be completed by `client`. If it cannot, that is a row.
    ///
    /// # Errors
    ///
    /// As [`App::find_login`].
    pub(crate) async fn pending_login(
        &self,
        token: &str,
        client: &Client,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<PendingLogin, Error> {
        match self.find_login(token, Some(client), now).await {
            Ok(login) => Ok(login),
            Err(over) => {
                let address = client.address_of(origin);
                Err(self.note_over(Event::MfaTokenRefused, over, Some(client), address, now).await)
            }
        }
    }

    /// The pending login that `token` names, if it can still be completed by `client` (any client: `None`).
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`]: none of ours, swept, or the account has changed since. [`Reason::MfaTokenExpired`].
    /// [`Reason::MfaTokenOfOtherClient`]. [`Reason::UserBlocked`]. [`Reason::TooManyAttempts`]: the attempts ran out in this
    /// login and none has come back; once one has, the login must start again.
    pub(crate) async fn find_login(
        &self,
        token: &str,
        client: Option<&Client>,
        now: Timestamp,
    ) -> Result<PendingLogin, Over> {
        let invalid = |why| Error::new(Reason::MfaTokenInvalid).because(why);
        let digest = opaque::handle_key(TokenKind::Mfa, token, self.sealer.as_ref());
        let digest = digest.ok_or_else(|| invalid("malformed"))?;
        let record = self.sessions.find_transaction(&digest).await?.ok_or_else(|| invalid("unknown or used"))?;
        if self.sealer.has_forgotten(&record.sealed) {
            return Err(invalid("sealed with a data key that was dropped").into());
        }
        let plain = self.sealer.open(place(&data_encoding::HEXLOWER.encode(digest.as_bytes())), &record.sealed)?;
        let transaction: MfaTransaction =
            serde_json::from_slice(plain.expose()).map_err(|error| PortError::Corrupt(Box::new(error)))?;
        let over = |error| Over::of(&transaction.user, &transaction.client, error);
        if client.is_some_and(|client| client.id != transaction.client) {
            return Err(over(Error::new(Reason::MfaTokenOfOtherClient)));
        }
        if now >= transaction.expires_at {
            return Err(over(Error::new(Reason::MfaTokenExpired)));
        }
        let account = self.account(&transaction.user).await?.ok_or_else(|| over(invalid("user is gone")))?;
        if record.exhausted {
            return Err(over(self.exhausted(&account, now).await?));
        }
        if account.user.blocked {
            return Err(over(Error::new(Reason::UserBlocked)));
        }
        if account.user.epoch != transaction.epoch {
            return Err(over(invalid("account has changed")));
        }
        Ok(PendingLogin { digest, transaction, account })
    }

    /// What an exhausted login is told: to wait while the bucket is empty, then to start again.
    async fn exhausted(&self, account: &Account, now: Timestamp) -> Result<Error, Error> {
        let otp = account.active_of(FactorKind::Otp).map(|candidate| candidate.failures).max();
        let recovery = account.usable_recovery_code().map(|code| code.failures);
        let mut longest = std::time::Duration::ZERO;
        let sent = account.active().iter().filter(|a| a.kind.channel().is_some()).map(|a| a.failures).max();
        for (class, failures) in [(otp::CLASS, otp), (oob::CLASS, sent), (recovery_code::CLASS, recovery)] {
            let bucket = self.factor_bucket(&account.user.id, class, failures.unwrap_or(0));
            longest = longest.max(self.sessions.wait_of(&bucket, now).await?);
        }
        if longest.is_zero() {
            return Ok(Error::new(Reason::MfaTokenInvalid).because("exhausted"));
        }
        let limit = self.registry.policy.factor_failures.capacity;
        Ok(Error::new(Reason::TooManyAttempts).throttled(Throttle { limit, retry_after: longest }))
    }
}

fn place(id: &str) -> Place<'_> {
    Place { record: record::MFA_TRANSACTION, id, owner: "" }
}
