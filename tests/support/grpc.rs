//! A gRPC client.

use countersign_proto::v1::{
    ClientAuthentication, associate_service_client::AssociateServiceClient,
    challenge_service_client::ChallengeServiceClient, client_authentication::Credential,
    device_service_client::DeviceServiceClient, token_service_client::TokenServiceClient,
};
use tonic::{Request, transport::Channel};

use crate::tenant::Client;

/// The clients of the services of one server.
#[derive(Clone)]
pub struct Grpc {
    /// `TokenService`.
    pub token: TokenServiceClient<Channel>,
    /// `ChallengeService`.
    pub challenge: ChallengeServiceClient<Channel>,
    /// `DeviceService`.
    pub device: DeviceServiceClient<Channel>,
    /// `AssociateService`.
    pub associate: AssociateServiceClient<Channel>,
    /// The assertion that calls carry in the place of a secret.
    pub assertion: Option<String>,
}

impl Grpc {
    /// Clients of the server at `address`; they connect when first used.
    pub fn new(address: std::net::SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).expect("an address is a URI").connect_lazy();
        Self {
            token: TokenServiceClient::new(channel.clone()),
            challenge: ChallengeServiceClient::new(channel.clone()),
            device: DeviceServiceClient::new(channel.clone()),
            associate: AssociateServiceClient::new(channel),
            assertion: None,
        }
    }

    /// The client's proof: the assertion, if there is one.
    pub fn proof(&self, client: Client) -> Option<ClientAuthentication> {
        let Some(assertion) = &self.assertion else { return proof(client) };
        let credential = Some(Credential::ClientAssertion(assertion.clone()));
        Some(ClientAuthentication { client_id: client.id.to_owned(), credential })
    }
}

/// The client's proof.
pub fn proof(client: Client) -> Option<ClientAuthentication> {
    Some(ClientAuthentication {
        client_id: client.id.to_owned(),
        credential: client.secret.map(|secret| Credential::ClientSecret(secret.to_owned())),
    })
}

/// `message` with a bearer.
pub fn bearing<T>(bearer: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {bearer}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}
