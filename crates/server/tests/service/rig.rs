//! The services over [`Ports`], and what a status says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use countersign_domain::{
    app::App,
    authenticator::FactorKind,
    id::{Audience, ClientId, RealmName},
    policy::{Demand, Rule},
    registry::{AssertionPolicy, Client, ClientAuthMethod, GrantType, Policy, RefreshPolicy, Registry},
    testing::{ManualClock, SeededEntropy},
    time::Timestamp,
};
use countersign_proto::v1::{
    ClientAuthentication, IssueTokenRequest, PasswordGrant, associate_service_client::AssociateServiceClient,
    challenge_service_client::ChallengeServiceClient, issue_token_request::Grant,
    token_service_client::TokenServiceClient,
};
use countersign_server::{HealthHandle, InProcess, routes};
use tonic::{Code, Request, Status, service::Routes};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::ports::Ports;

pub const CLIENT: &str = "web";
/// A client that may ask about tokens.
pub const ASKING: &str = "api";

/// The services, and what is behind them.
pub struct Rig {
    pub ports: Arc<Ports>,
    pub health: HealthHandle,
    pub routes: Routes,
}

impl Rig {
    pub async fn new() -> Self {
        let ports = Arc::new(Ports::new());
        let client = Client {
            id: ClientId::new(CLIENT),
            name: "Web".into(),
            authentication: ClientAuthMethod::None,
            keys: None,
            token_endpoint_audience: false,
            audience_list: false,
            challenges_need_assertion: false,
            grants: GrantType::ALL.into_iter().collect(),
            default_realm: None,
            mfa: Rule::of(Demand::Always),
            publish_mfa_requirements: false,
            authentication_claims: false,
            trust_forwarded_for: false,
            id_token_lifetime: Duration::from_secs(60),
            refresh: RefreshPolicy::default(),
            remembers_devices: None,
            introspects: BTreeSet::new(),
            services: BTreeMap::new(),
            asserts: AssertionPolicy::default(),
        };
        let asking = Client {
            id: ClientId::new(ASKING),
            introspects: BTreeSet::from([Audience::new("https://api.test/")]),
            ..client.clone()
        };
        let realm = RealmName::new("people");
        let app = App {
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))),
            entropy: Arc::new(SeededEntropy::new(1)),
            users: ports.clone(),
            authenticators: ports.clone(),
            repudiations: ports.clone(),
            refresh: ports.clone(),
            logins: ports.clone(),
            sessions: ports.clone(),
            hasher: ports.clone(),
            sealer: ports.clone(),
            signer: ports.clone(),
            devices: ports.clone(),
            wakes: Arc::default(),
            outbox: ports.clone(),
            sender: ports.clone(),
            bell: ports.clone(),
            in_flight: Arc::default(),
            audit_budget: Arc::default(),
            operator: None,
            registry: Registry {
                issuer: "https://issuer.test/".into(),
                app_name: "Test".into(),
                clients: [client, asking].map(|client| (client.id.clone(), client)).into(),
                apis: BTreeMap::new(),
                realms: BTreeSet::from([realm.clone()]),
                default_realm: Some(realm),
                default_audience: None,
                factors: BTreeSet::from([FactorKind::Otp]),
                countries: BTreeSet::new(),
                goes_by_context: false,
                policy: Policy::default(),
            },
        };
        let (routes, health) = routes(Arc::new(app)).await.unwrap();
        Self { ports, health, routes }
    }

    /// The way of the gateway in the same process.
    pub fn in_process(&self) -> InProcess {
        InProcess::new(self.routes.clone())
    }

    pub fn token(&self) -> TokenServiceClient<InProcess> {
        TokenServiceClient::new(self.in_process())
    }

    pub fn challenge(&self) -> ChallengeServiceClient<InProcess> {
        ChallengeServiceClient::new(self.in_process())
    }

    pub fn associate(&self) -> AssociateServiceClient<InProcess> {
        AssociateServiceClient::new(self.in_process())
    }

    /// What a grant is refused with.
    pub async fn refused(&self, request: impl tonic::IntoRequest<IssueTokenRequest>) -> Refused {
        Refused::from(self.token().issue_token(request).await.map(drop).unwrap_err())
    }
}

pub fn client() -> ClientAuthentication {
    ClientAuthentication { client_id: CLIENT.into(), credential: None }
}

pub fn asking() -> ClientAuthentication {
    ClientAuthentication { client_id: ASKING.into(), credential: None }
}

/// A request with one grant.
pub fn offering(grant: Grant) -> IssueTokenRequest {
    IssueTokenRequest { client: Some(client()), grant: Some(grant), ..IssueTokenRequest::default() }
}

/// A password that nobody has.
pub fn password() -> IssueTokenRequest {
    let grant = PasswordGrant { username: "jo".into(), password: "pw".into(), ..PasswordGrant::default() };
    offering(Grant::Password(grant))
}

pub fn bearing<T>(value: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", value.parse().unwrap());
    request
}

/// `length` characters of two bytes each: limits count characters.
pub fn long(length: usize) -> String {
    "\u{e9}".repeat(length)
}

/// A status, read.
#[derive(Debug)]
pub struct Refused {
    pub code: Code,
    pub reason: String,
    pub details: ErrorDetails,
    /// All of it, as text: what must not be there can be searched for.
    pub text: String,
}

impl Refused {
    /// The wrong fields, in order.
    pub fn fields(&self) -> Vec<&str> {
        let bad = self.details.bad_request();
        bad.into_iter().flat_map(|bad| &bad.field_violations).map(|violation| violation.field.as_str()).collect()
    }

    /// What is said of the wrong fields.
    pub fn descriptions(&self) -> Vec<&str> {
        let bad = self.details.bad_request();
        bad.into_iter().flat_map(|bad| &bad.field_violations).map(|violation| violation.description.as_str()).collect()
    }

    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.details.error_info()?.metadata.get(key).map(String::as_str)
    }

    pub fn retry_delay(&self) -> Option<Duration> {
        self.details.retry_info()?.retry_delay
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        if let Some(info) = info {
            assert_eq!(info.domain, "countersign");
        }
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            text: format!("{status:?} {}", String::from_utf8_lossy(status.details())),
            details,
        }
    }
}
