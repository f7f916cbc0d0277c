//! A client's word in the place of a password: a person has logged in with it just now.
//!
//! The client proves itself with the request and speaks plainly, or signs what it says (RFC 7523, section 2.1). What follows is what
//! follows a password.

use serde::Deserialize;

use crate::{
    account::Account,
    app::{App, Origin, RequestedScopes},
    audit::{AuditEvent, Event},
    authentication::Authentication,
    claims::seconds,
    client::assertion::SKEW,
    error::{Error, Reason},
    grant::password::{FirstProven, named_differently},
    id::RealmName,
    login_name::LoginName,
    numeric_date::numeric_date,
    policy::Wish,
    registry::{Client, GrantType},
    secret::Secret,
    time::Timestamp,
    transaction::OriginalGrant,
    usecase::{
        issue_token::{AssertedLogin, AssertedSubject, Outcome},
        manage_users::{AddUser, NewPassword},
    },
    user::{Email, PasswordHash, Profile, is_notification_address},
};

/// The `typ` of a signed one: it must not pass for anything else that a client signs (RFC 8725, section 3.11).
const TYPES: [&str; 1] = ["asserted-login+jwt"];

/// The first factors that a client may have asked for, by RFC 8176's names. What countersign asks for itself is not among them: whoever
/// is believed to have given a code elsewhere would count as having given two factors here.
pub const FIRST_FACTORS: [&str; 14] =
    ["face", "fpt", "hwk", "iris", "kba", "pin", "pop", "pwd", "retina", "sc", "swk", "user", "vbm", "wia"];

/// The most methods of one login.
pub const MAX_METHODS: usize = 5;

/// What a signed one says besides who, to whom and until when.
#[derive(Deserialize)]
struct SignedClaims {
    #[serde(deserialize_with = "numeric_date")]
    auth_time: i64,
    amr: Vec<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    picture: Option<String>,
}

impl App {
    /// Judges what a client says of a person.
    pub(crate) async fn asserted_grant(
        &self,
        client: &Client,
        login: AssertedLogin,
        asked: (Option<&str>, &RequestedScopes),
        wish: Wish,
        origin: &Origin,
    ) -> Result<Outcome, Error> {
        let outcome = self.judge_asserted(client, login, asked, wish, origin).await;
        let why = match &outcome {
            Err(error) if error.reason() == Reason::AssertionRejected => "not believed",
            Err(error) if error.reason() == Reason::SubjectUnknown => "unknown",
            Err(error) if error.reason() == Reason::UserBlocked => "blocked",
            _ => return outcome,
        };
        let row = AuditEvent::of_deployment(Event::AssertionFailed, self.clock.now()).by(&client.id);
        self.note_cheap(row.at_address(client.address_of(origin)).because(why)).await?;
        outcome
    }

    async fn judge_asserted(
        &self,
        client: &Client,
        login: AssertedLogin,
        (audience, requested): (Option<&str>, &RequestedScopes),
        wish: Wish,
        origin: &Origin,
    ) -> Result<Outcome, Error> {
        client.may_use_proven(GrantType::AssertedLogin)?;
        let realm = client.asserts.realm.clone().ok_or_else(|| rejected("the client has no realm"))?;
        let (audience, scopes) = self.resolve(client, audience, requested)?;
        let scopes_changed = named_differently(requested.as_ref(), &scopes);
        let now = self.clock.now();
        let subject = match login {
            AssertedLogin::Plain(subject) => subject,
            AssertedLogin::Signed(jwt) => self.signed_subject(client, &jwt, now).await?,
        };
        let at = authenticated_at(&subject, client, now)?;
        if subject.email.as_ref().is_some_and(|email| !is_notification_address(&email.address)) {
            return Err(rejected("email"));
        }
        if subject.profile.picture.as_ref().is_some_and(|picture| !is_picture_address(picture)) {
            return Err(rejected("picture"));
        }
        let account = self.asserted_account(client, realm, &subject, origin, now).await?;
        if account.user.blocked {
            return Err(Error::new(Reason::UserBlocked));
        }
        let proven = FirstProven {
            client,
            account: &account,
            audience,
            scopes,
            scopes_changed,
            authentication: Authentication { at, methods: subject.methods.iter().map(|m| m.clone().into()).collect() },
            grant: OriginalGrant::Asserted { methods: subject.methods },
            event: Event::AssertedLogin,
            wish,
            origin,
            now,
        };
        self.after_first_factor(proven).await.map_err(|error| match error.reason() {
            Reason::MfaTokenInvalid => rejected("account has changed"),
            _ => error,
        })
    }

    /// What a signed one says; it is spent.
    async fn signed_subject(
        &self,
        client: &Client,
        jwt: &Secret<String>,
        now: Timestamp,
    ) -> Result<AssertedSubject, Error> {
        let found = self.assertion::<SignedClaims>(client, jwt, &TYPES, now).map_err(rejected)?;
        if !self.logins.redeem_assertion(found.mark).await? {
            return Err(rejected("assertion: used before"));
        }
        let SignedClaims { auth_time, amr, email, email_verified, name, given_name, family_name, picture } =
            found.claims;
        Ok(AssertedSubject {
            subject: found.subject,
            at: seconds(auth_time),
            methods: amr,
            email: email.map(|address| Email { address, verified: email_verified }),
            profile: Profile { name, given_name, family_name, picture },
        })
    }

    /// Whose login it is. An account is made where the client may and there is none; of many first logins at once one makes it.
    async fn asserted_account(
        &self,
        client: &Client,
        realm: RealmName,
        subject: &AssertedSubject,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Account, Error> {
        let unknown = |why| Error::new(Reason::SubjectUnknown).because(why);
        let name = LoginName::parse(&subject.subject).map_err(|_bad| unknown("can name nobody"))?;
        if let Some(account) = self.account_by_login(&realm, &name).await? {
            return Ok(account);
        }
        if !client.asserts.creates_users {
            return Err(unknown("nobody has the name"));
        }
        let wish = AddUser {
            realm: realm.clone(),
            username: subject.subject.clone(),
            email: subject.email.clone(),
            notification_addresses: Vec::new(),
            profile: subject.profile.clone(),
            password: NewPassword::None,
        };
        let mut new = self.new_user(wish, PasswordHash::none(), now)?;
        new.audit = AuditEvent::about(Event::UserAsserted, &new.user.id, now)
            .by(&client.id)
            .at_address(client.address_of(origin));
        // The client knows people by what it calls them. An address that it passes on, proven or not, names nobody here: somebody else
        // may be called so, now or later.
        new.names.truncate(1);
        self.users.insert(vec![new]).await?;
        self.account_by_login(&realm, &name).await?.ok_or_else(|| unknown("it was removed at once"))
    }
}

/// Whether `text` can be where a picture is: browsers show it.
pub fn is_picture_address(text: &str) -> bool {
    let web = |scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    (web("https://") || web("http://")) && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// When the person logged in, if that is to be believed.
fn authenticated_at(subject: &AssertedSubject, client: &Client, now: Timestamp) -> Result<Timestamp, Error> {
    if subject.at > now.plus(SKEW) {
        return Err(rejected("auth_time is in the future"));
    }
    if now >= subject.at.plus(client.asserts.max_age) {
        return Err(rejected("auth_time is too long ago"));
    }
    if subject.methods.is_empty() || subject.methods.len() > MAX_METHODS {
        return Err(rejected("amr"));
    }
    if !subject.methods.iter().all(|method| FIRST_FACTORS.contains(&method.as_str())) {
        return Err(rejected("amr has a method that is no first factor"));
    }
    Ok(subject.at.min(now))
}

fn rejected(why: &'static str) -> Error {
    Error::new(Reason::AssertionRejected).because(why)
}
