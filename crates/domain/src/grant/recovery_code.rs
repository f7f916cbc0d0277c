//! The mfa-recovery-code grant: the recovery code completes a login and is replaced by a new one.

use crate::{
    app::{App, Origin},
    attempt::Asker,
    audit::Event,
    authentication::Authentication,
    authenticator::{FAILURE_CEILING, RecoveryCode, RecoveryStatus},
    error::Error,
    factor::recovery_code::{CLASS, digest_to_compare, digest_to_store, generate, parse},
    grant::audit,
    id::AuthenticatorId,
    message::NoticeEvent,
    opaque::{ALPHANUMERIC, random_text},
    policy::Strength,
    port::{
        entropy::Entropy,
        login_store::{Burn, Failure, FailureTarget, LoginCommit},
    },
    registry::{Client, GrantType},
    secret::Secret,
    time::Timestamp,
    usecase::issue_token::TokenSet,
};

impl App {
    /// Judges a recovery code.
    pub(crate) async fn recovery_grant(
        &self,
        client: &Client,
        token: &Secret<String>,
        code: &Secret<String>,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        client.may_use(GrantType::MfaRecoveryCode)?;
        let now = self.clock.now();
        let login = self.pending_login(token.expose(), client, origin, now).await?;
        let user = &login.account.user;
        let current = login.account.usable_recovery_code();
        let failures = current.map_or(0, |code| code.failures);
        let asker = Asker::of(client, origin);
        let permit = match self.reserve_factor_attempt(&user.id, CLASS, failures, asker, now).await {
            Ok(permit) => permit,
            Err(error) => {
                if current.is_none() {
                    self.tell_of_exhaustion(&error, &login.account, origin, now).await?;
                }
                return Err(self.out_of_attempts(error, Some(&login.digest)).await);
            }
        };
        let address = client.address_of(origin);
        let row = |event| audit(event, user, client, current.map(|code| code.id.clone()), address, now);
        let wrong = |row| Failure {
            login: Some(login.consumed()),
            ..Failure::new(FailureTarget::RecoveryCode, FAILURE_CEILING, row)
        };
        let presented = if let (Some(_), Some(code)) = (current, parse(code.expose())) {
            digest_to_compare(&code, &user.id, self.sealer.as_ref(), &permit)
        } else {
            return Err(self.failed(wrong(row(Event::RecoveryFailed)), &login.account, origin, CLASS).await);
        };
        let successor = generate(self.entropy.as_ref())?;
        // It tells of the successor too.
        let languages = origin.languages.as_deref();
        let messages = self.notices(user, NoticeEvent::RecoveryCodeUsed, None, languages, now)?;
        let burn = Burn::RecoveryCode {
            presented,
            successor: new_recovery_code(RecoveryStatus::Active, now, self.entropy.as_ref())?,
            successor_digest: digest_to_store(&successor, &user.id, self.sealer.as_ref()),
        };
        // RFC 8176 has no name for look-up secrets; "otp" is its name for anything that is good for one login.
        // It may be used whatever strength is required.
        let second = (Strength::Unrestricted, |first: Authentication| first.and("otp"));
        let ending = self.ending(&login, client, second, origin, now).await?;
        let commit =
            LoginCommit { messages, ..LoginCommit::new(user, Some(login.consumed()), burn, row(Event::RecoveryLogin)) };
        // The store compares: the digest is the key of the one conditional statement that spends the code.
        if let Err(error) = self.commit_login(ending.of(commit), CLASS).await {
            if error.reason() == crate::error::Reason::ProofRejected {
                return Err(self.failed(wrong(row(Event::RecoveryFailed)), &login.account, origin, CLASS).await);
            }
            return Err(error);
        }
        self.settle_success(Some(login.digest), &user.id, &permit, now).await;
        let mut tokens = self.answer_login(login, client, ending, now).await?;
        tokens.recovery_code = Some(successor);
        Ok(tokens)
    }
}

/// A recovery code's row, with a new id.
///
/// # Errors
///
/// There is no randomness.
pub(crate) fn new_recovery_code(
    status: RecoveryStatus,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<RecoveryCode, Error> {
    let id = AuthenticatorId::new(format!("recovery-code|dev_{}", random_text(ALPHANUMERIC, 16, entropy)?));
    Ok(RecoveryCode { id, status, failures: 0, created_at: now })
}
