//! What an enrolment is about to store and to show, for each kind of factor.

use super::{Details, OtpDetails, limit_reached};
use crate::{
    app::{App, AuthenticatorView},
    approval::Asking,
    authenticator::{Authenticator, FactorKind, MAX_PER_USER, Status},
    bearer::Actor,
    dispatch::{Receipt, Sending},
    error::{Error, Reason},
    factor::{
        oob,
        otp::{OtpAlgorithm, OtpSecret, qr_svg},
        push,
    },
    factor_set::FactorSet,
    id::{AuthenticatorId, PairId},
    message::{OutboxRow, Purpose},
    opaque::{ALPHANUMERIC, random_text},
    phone::Phone,
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
    user::User,
};

/// What is about to be stored and shown.
pub(super) struct Draft {
    pub authenticator: Authenticator,
    pub view: AuthenticatorView,
    pub companion: Option<Authenticator>,
    pub sends: Option<(OutboxRow, Receipt)>,
    pub details: Details,
}

/// Whose enrolment it is and what it is bound to.
pub(super) struct Frame<'a> {
    pub user: &'a User,
    pub actor: &'a Actor,
    pub bearer: Digest,
    pub name: Option<String>,
    pub languages: Option<String>,
    pub now: Timestamp,
}

impl App {
    pub(super) fn draft_otp(&self, frame: &Frame<'_>, algorithm: OtpAlgorithm, digits: u8) -> Result<Draft, Error> {
        if !self.may_enrol(FactorKind::Otp, frame.actor.allowed) {
            let refused = Error::malformed("authenticator_types", "authenticator_types has none that is enabled here");
            return Err(refused.because("factor not allowed"));
        }
        let secret = OtpSecret::generate(algorithm, digits, self.entropy.as_ref())?;
        let barcode_uri = secret.barcode_uri(&self.registry.app_name, frame.user.label());
        let barcode_svg = qr_svg(&barcode_uri)?;
        let id = new_id(FactorKind::Otp, &self.new_pair()?);
        let state = secret.seal(&id, &frame.user.id, self.sealer.as_ref())?;
        let authenticator = frame.pending(id, FactorKind::Otp, state, self);
        Ok(Draft {
            view: self.view(&authenticator)?,
            authenticator,
            companion: None,
            sends: None,
            details: Details::Otp(OtpDetails {
                secret: Secret::new(secret.base32().to_string()),
                barcode_uri,
                barcode_svg,
            }),
        })
    }

    /// A device, and the authenticator app that comes with it if those are enabled.
    pub(super) async fn draft_push(&self, frame: &Frame<'_>) -> Result<Draft, Error> {
        let sealer = self.sealer.as_ref();
        let pair = self.new_pair()?;
        let paired =
            |id, kind, state| Authenticator { pair: Some(pair.clone()), ..frame.pending(id, kind, state, self) };
        let id = new_id(FactorKind::Push, &pair);
        let state = push::seal(None, &id, &frame.user.id, sealer)?;
        let authenticator = paired(id, FactorKind::Push, state);
        let companion = if self.may_enrol(FactorKind::Otp, frame.actor.allowed) {
            let id = new_id(FactorKind::Otp, &self.new_pair()?);
            let secret = OtpSecret::generate(OtpAlgorithm::Sha1, 6, self.entropy.as_ref())?;
            let state = secret.seal(&id, &frame.user.id, sealer)?;
            Some(paired(id, FactorKind::Otp, state))
        } else {
            None
        };
        frame.require_room(1 + usize::from(companion.is_some()))?;
        let client = self.registry.clients.get(&frame.actor.client);
        let client = client.ok_or_else(|| Error::new(Reason::MfaTokenInvalid).because("client is gone"))?;
        let asking = Asking { authenticator: &authenticator, client, bearer: frame.bearer };
        let (oob_code, ticket) = self.await_registration(asking, frame.now).await?;
        let base_url = self.device_base_url();
        let barcode_uri = push::barcode_uri(&self.registry.app_name, frame.user.label(), &ticket, &base_url);
        let barcode_svg = qr_svg(&barcode_uri)?;
        Ok(Draft {
            view: self.view(&authenticator)?,
            authenticator,
            companion,
            sends: None,
            details: Details::Push { oob_code, barcode_uri, barcode_svg },
        })
    }

    pub(super) async fn draft_phone(
        &self,
        frame: &Frame<'_>,
        kind: FactorKind,
        typed: Option<&Secret<String>>,
    ) -> Result<Draft, Error> {
        let typed = typed.ok_or_else(|| Error::missing("phone_number"))?;
        let phone = Phone::parse(typed.expose())
            .ok_or_else(|| Error::malformed("phone_number", "The phone number is invalid.").because("not a number"))?;
        if !self.registry.countries.contains(phone.country()) {
            let refused = "No messages are sent to the country of this phone_number.";
            return Err(Error::malformed("phone_number", refused).because("country not allowed"));
        }
        let other = if kind == FactorKind::Voice { FactorKind::Sms } else { FactorKind::Voice };
        let pair = Some(other).filter(|other| self.may_enrol(*other, frame.actor.allowed));
        self.draft_oob(frame, kind, pair, phone.e164()).await
    }

    pub(super) async fn draft_email(&self, frame: &Frame<'_>, typed: Option<&Secret<String>>) -> Result<Draft, Error> {
        let own = || frame.user.email.as_ref().map(|email| Secret::new(email.address.clone()));
        let to = typed.cloned().or_else(own).ok_or_else(|| Error::missing("email"))?;
        let refused = || Error::malformed("email", "The email is invalid.").because("not an address");
        let to = oob::canonical_email(to.expose()).ok_or_else(refused)?;
        self.draft_oob(frame, FactorKind::Email, None, &to).await
    }

    /// One authenticator for codes that are sent to `to`, and the code that confirms it; `other` is enrolled with it.
    async fn draft_oob(
        &self,
        frame: &Frame<'_>,
        kind: FactorKind,
        other: Option<FactorKind>,
        to: &Secret<String>,
    ) -> Result<Draft, Error> {
        let pair = self.new_pair()?;
        let sealer = self.sealer.as_ref();
        let draft = |kind| -> Result<Authenticator, Error> {
            let id = new_id(kind, &pair);
            let state = oob::seal(to, &id, &frame.user.id, sealer)?;
            Ok(Authenticator {
                pair: other.map(|_| pair.clone()),
                address: Some(oob::address_digest(to.expose(), sealer)),
                ..frame.pending(id, kind, state, self)
            })
        };
        let authenticator = draft(kind)?;
        let companion = other.map(draft).transpose()?;
        let view = self.view(&authenticator)?;
        // Before it is paid for; judged once more when it is stored, since others may be enrolling too.
        frame.require_room(1 + usize::from(companion.is_some()))?;
        let sending = Sending {
            authenticator: &authenticator,
            to,
            purpose: Purpose::Enroll,
            client: &frame.actor.client,
            bearer: frame.bearer,
            languages: frame.languages.clone(),
        };
        let prepared = self.prepare(sending, frame.now).await?;
        let channel = prepared.receipt.channel;
        Ok(Draft {
            authenticator,
            view,
            companion,
            sends: Some((prepared.row, prepared.receipt)),
            details: Details::Oob {
                oob_code: prepared.oob_code,
                channel,
                restricted: kind.is_restricted() && self.registry.policy.tells_of_restricted,
            },
        })
    }

    /// Whether `kind` is enabled, and `allowed` by the login it would be enrolled in.
    pub(super) fn may_enrol(&self, kind: FactorKind, allowed: FactorSet) -> bool {
        self.registry.factors.contains(&kind) && allowed.has(kind)
    }

    fn new_pair(&self) -> Result<PairId, Error> {
        Ok(PairId::new(format!("dev_{}", random_text(ALPHANUMERIC, 16, self.entropy.as_ref())?)))
    }
}

fn new_id(kind: FactorKind, pair: &PairId) -> AuthenticatorId {
    AuthenticatorId::new(format!("{}|{pair}", kind.id_prefix()))
}

impl Frame<'_> {
    /// Refuses if the person, as they were read, has no room for `wanted` more. What counts is what counts when it is stored.
    fn require_room(&self, wanted: usize) -> Result<(), Error> {
        let counts = |authenticator: &&Authenticator| match authenticator.status {
            Status::Pending { until, bearer } => until > self.now && bearer == self.bearer,
            Status::Active | Status::Disabled => authenticator.implied.is_none(),
        };
        let all = self.actor.account.authenticators.iter().filter(counts).count();
        if all + wanted > MAX_PER_USER { Err(limit_reached()) } else { Ok(()) }
    }

    /// A pending authenticator of its own.
    fn pending(&self, id: AuthenticatorId, kind: FactorKind, state: Sealed, app: &App) -> Authenticator {
        Authenticator {
            id,
            user: self.user.id.clone(),
            kind,
            status: Status::Pending {
                until: self.now.plus(app.registry.policy.mfa_token_lifetime),
                bearer: self.bearer,
            },
            pair: None,
            state,
            address: None,
            implied: None,
            name: self.name.clone(),
            preferred: false,
            last_step: None,
            drift: 0,
            failures: 0,
            created_at: self.now,
            confirmed_at: None,
            last_used_at: None,
        }
    }
}
