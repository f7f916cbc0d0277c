//! Callers of gRPC who show certificates (S-35).

use std::{fs, path::Path};

use countersign_proto::v1::{
    ClientAuthentication, ClientCredentialsGrant, CreateChallengeRequest, EndUserContext, GetMetadataRequest,
    IntrospectTokenRequest, IssueTokenRequest, PasswordGrant, RevokeTokenRequest, WatchChallengeRequest,
    issue_token_request::Grant, issue_token_response::Outcome,
};
use countersign_tests::{
    certificates::{Authority, Dialled, Leaf, Wish, dial, reason},
    grpc::proof,
    tenant::{API, BACKEND, Client, KEEPER, LENIENT, Tenant},
    trail,
    world::{Store, World},
};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Status;

const SHOP: Client = Client { id: "shop", secret: None };
const TILL: Client = Client { id: "till", secret: None };
const SHOP_NAME: &str = "spiffe://test/shop";
const GATEWAY_NAME: &str = "spiffe://test/gateway";

/// Whether a client that was named has not proven itself.
#[track_caller]
fn is_unproven<T>(outcome: Result<T, Status>) -> bool {
    reason(outcome).as_deref() == Some("CLIENT_UNAUTHENTICATED")
}

/// A world whose gRPC has TLS, and the authority of everything in it.
struct Place {
    authority: Authority,
    world: World,
    folder: TempDir,
}

impl Place {
    async fn start(certificates: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new("one");
        authority.server().write(folder.path(), "cert.pem", "key.pem");
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let client = |id: &str, names: &str| {
            format!(
                "[[clients]]\nid = '{id}'\nauthentication = 'tls-client-auth'\ncertificate_names = [{names}]\n\
                 grant_types = ['client_credentials']\nintrospects = ['{API}']\n\
                 services = [{{ audience = '{API}', scopes = ['read:things'] }}]\n"
            )
        };
        let clients =
            client("shop", &format!("'{SHOP_NAME}'")) + &client("till", "'spiffe://test/till', 'Till.internal'");
        let tenant = Tenant::default().and(&clients).section(
            "grpc.tls",
            &[
                "enabled = true",
                &format!("cert_file = '{}'", file("cert.pem")),
                &format!("key_file = '{}'", file("key.pem")),
                &format!("client_ca_file = '{}'", file("ca.pem")),
                &format!("client_certificates = '{certificates}'"),
                &format!("gateways = ['{GATEWAY_NAME}']"),
            ],
        );
        Self { authority, world: World::start(Store::Sqlite, tenant).await, folder }
    }

    fn dialled(&self, leaf: Option<&Leaf>) -> Dialled {
        dial(self.world.server().grpc(), self.authority.dialled_with(leaf))
    }

    fn named(&self, names: &[&str]) -> Dialled {
        self.dialled(Some(&self.authority.client(names)))
    }

    fn reread(&self) -> Result<(), String> {
        let side = self.world.server().sides().grpc.clone().unwrap();
        side.reread().map_err(|error| format!("{error:#}"))
    }

    fn write_authorities(&self, authorities: &[&Authority]) {
        let all: String = authorities.iter().map(|authority| authority.pem()).collect();
        fs::write(self.folder.path().join("ca.pem"), all).unwrap();
    }
}

async fn service_token(dialled: &Dialled, client: Client) -> Result<String, Status> {
    let request = IssueTokenRequest {
        client: proof(client),
        audience: API.to_owned(),
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        ..IssueTokenRequest::default()
    };
    match dialled.token.clone().issue_token(request).await?.into_inner().outcome {
        Some(Outcome::Tokens(tokens)) => Ok(tokens.access_token),
        Some(Outcome::MfaRequired(_)) | None => panic!("no tokens"),
    }
}

/// Whether the services can be reached at all.
async fn reaches(dialled: &Dialled) -> bool {
    match dialled.token.clone().get_metadata(GetMetadataRequest {}).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(reason::<()>(Err(status)), None, "no service has said it");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_proves_the_client_whose_name_is_in_it_and_no_other() {
    let place = Place::start("required").await;
    for (names, client, good) in [
        (&[SHOP_NAME][..], SHOP, true),
        (&["spiffe://test/other", SHOP_NAME], SHOP, true),
        (&["spiffe://test/till"], TILL, true),
        (&["till.internal"], TILL, true),
        (&["TILL.internal"], TILL, true),
        (&[SHOP_NAME], TILL, false),
        (&["till.internal"], SHOP, false),
        (&["spiffe://test/Shop"], SHOP, false),
        (&["spiffe://test/shop/"], SHOP, false),
        (&["spiffe://test/shop2"], SHOP, false),
        (&["spiffe://other/shop"], SHOP, false),
        (&["shop"], SHOP, false),
        (&["*.internal"], TILL, false),
        (&["a.till.internal"], TILL, false),
        (&[], SHOP, false),
        (&[GATEWAY_NAME], SHOP, false),
        (&[GATEWAY_NAME, SHOP_NAME], SHOP, false),
    ] {
        let outcome = service_token(&place.named(names), client).await;
        assert_eq!(outcome.is_ok(), good, "{names:?} as {client:?}: {outcome:?}");
        assert!(good || is_unproven(outcome), "{names:?} as {client:?}");
    }
    let by_subject = place.authority.sign(&Wish { subject: SHOP_NAME, ..Wish::default() });
    assert!(is_unproven(service_token(&place.dialled(Some(&by_subject)), SHOP).await), "a subject names nobody");
    let with_secret = Client { secret: Some("something of 16 letters"), ..SHOP };
    assert!(is_unproven(service_token(&place.named(&[SHOP_NAME]), with_secret).await), "it has no secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_client_needs_its_certificate() {
    let place = Place::start("required").await;
    let (own, other) = (place.named(&[SHOP_NAME]), place.named(&["till.internal"]));
    let token = service_token(&own, SHOP).await.unwrap();
    let introspect = IntrospectTokenRequest { client: proof(SHOP), token, end_user: None };
    let answer = own.token.clone().introspect_token(introspect.clone()).await.unwrap().into_inner();
    assert_eq!(answer.active.unwrap().client_id, SHOP.id);
    let revoke = RevokeTokenRequest { client: proof(SHOP), token: "csrt_x".into(), ..RevokeTokenRequest::default() };
    own.token.clone().revoke_token(revoke.clone()).await.unwrap();
    let (client, mfa_token) = (proof(SHOP), "csmfa_x".to_owned());
    let challenge = CreateChallengeRequest {
        client: client.clone(),
        mfa_token: mfa_token.clone(),
        ..CreateChallengeRequest::default()
    };
    let watch = WatchChallengeRequest { client, mfa_token, oob_code: "csapp_x".into() };
    for (dialled, proven) in [(&own, true), (&other, false)] {
        assert_eq!(!is_unproven(dialled.challenge.clone().create_challenge(challenge.clone()).await), proven);
        assert_eq!(!is_unproven(dialled.challenge.clone().watch_challenge(watch.clone()).await), proven);
    }
    assert!(is_unproven(other.token.clone().introspect_token(introspect).await));
    assert!(is_unproven(other.token.clone().revoke_token(revoke).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_one_client_does_not_serve_another_that_proves_itself_otherwise() {
    let place = Place::start("required").await;
    let introspect = |client| IntrospectTokenRequest { client: proof(client), token: "x".into(), end_user: None };
    let by = |names: &[&str]| place.named(names).token;
    assert!(by(&["host.internal"]).introspect_token(introspect(BACKEND)).await.is_ok(), "it is no client's");
    assert!(by(&[GATEWAY_NAME]).introspect_token(introspect(BACKEND)).await.is_ok());
    assert!(is_unproven(by(&[SHOP_NAME]).introspect_token(introspect(BACKEND)).await));
    assert!(is_unproven(by(&["host.internal"]).introspect_token(introspect(SHOP)).await));
}

/// Those that no handshake accepts.
fn bad_certificates(place: &Place) -> Vec<(&'static str, Leaf)> {
    let sign = |wish| place.authority.sign(&wish);
    let wish = || Wish { names: &[SHOP_NAME], ..Wish::default() };
    vec![
        ("expired", sign(Wish { years: (2020, 2021), ..wish() })),
        ("not good yet", sign(Wish { years: (2089, 2090), ..wish() })),
        ("for servers", sign(Wish { usage: ExtendedKeyUsagePurpose::ServerAuth, ..wish() })),
        ("another authority's", Authority::new("two").client(&[SHOP_NAME])),
        ("another authority's of the same name", Authority::new("one").client(&[SHOP_NAME])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_there_is_no_connection() {
    let place = Place::start("required").await;
    assert!(reaches(&place.named(&["anybody.internal"])).await);
    assert!(!reaches(&place.dialled(None)).await, "none");
    for (which, leaf) in bad_certificates(&place) {
        assert!(!reaches(&place.dialled(Some(&leaf))).await, "{which}");
    }
    let plain = countersign_tests::grpc::Grpc::new(place.world.server().grpc());
    assert_eq!(reason(plain.token.clone().get_metadata(GetMetadataRequest {}).await), None, "in plain text");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_optional_who_shows_none_proves_itself_otherwise() {
    let place = Place::start("optional").await;
    let nothing = place.dialled(None);
    let introspect = IntrospectTokenRequest { client: proof(BACKEND), token: "x".into(), end_user: None };
    assert!(nothing.token.clone().introspect_token(introspect).await.is_ok());
    assert!(is_unproven(service_token(&nothing, SHOP).await));
    assert!(service_token(&place.named(&[SHOP_NAME]), SHOP).await.is_ok());
    for (which, leaf) in bad_certificates(&place) {
        assert!(!reaches(&place.dialled(Some(&leaf))).await, "{which}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_has_no_certificates_and_so_no_client_that_needs_one() {
    let place = Place::start("required").await;
    for secret in [None, Some("something of 16 letters")] {
        let body =
            json!({"grant_type": "client_credentials", "audience": API, "client_id": "shop", "client_secret": secret});
        assert_eq!(place.world.http().post("/oauth/token", &body).await.status, 401, "{secret:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_gateways_are_believed_about_where_people_are() {
    let place = Place::start("required").await;
    for (names, client, address) in
        [(&[GATEWAY_NAME][..], LENIENT, "198.51.100.7"), (&["host.internal"], KEEPER, "127.0.0.1")]
    {
        let request = IssueTokenRequest {
            client: proof(client),
            end_user: Some(EndUserContext { address: "198.51.100.7".into(), ..EndUserContext::default() }),
            grant: Some(Grant::Password(PasswordGrant {
                username: "nobody".into(),
                password: "something wrong".into(),
                ..PasswordGrant::default()
            })),
            ..IssueTokenRequest::default()
        };
        assert!(reason(place.named(names).token.issue_token(request).await).is_some(), "{names:?}");
        let rows = trail::rows(&place.world.database());
        let row = rows.iter().rev().find(|row| row.client.as_deref() == Some(client.id)).expect("it is audited");
        assert_eq!(row.address.as_deref(), Some(address), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_authority_replaces_another_without_a_restart_or_an_error() {
    let place = Place::start("required").await;
    let next = Authority::new("two");
    let (old_leaf, new_leaf) = (place.authority.client(&[SHOP_NAME]), next.client(&[SHOP_NAME]));
    let old = place.dialled(Some(&old_leaf));
    assert!(service_token(&old, SHOP).await.is_ok());
    assert!(!reaches(&place.dialled(Some(&new_leaf))).await, "it is not known yet");

    // Calls go on while both are good.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let busy = tokio::spawn({
        let (old, stopped) = (old.clone(), stopped.clone());
        async move {
            let mut calls = 0;
            while !*stopped.borrow() {
                service_token(&old, SHOP).await.expect("no call fails");
                calls += 1;
            }
            calls
        }
    });
    place.write_authorities(&[&place.authority, &next]);
    place.reread().unwrap();
    assert!(service_token(&place.dialled(Some(&new_leaf)), SHOP).await.is_ok(), "both are good");
    assert!(service_token(&place.dialled(Some(&old_leaf)), SHOP).await.is_ok(), "both are good");
    stop.send_replace(true);
    assert!(busy.await.unwrap() > 0);

    place.write_authorities(&[&next]);
    place.reread().unwrap();
    assert!(!reaches(&place.dialled(Some(&old_leaf))).await, "it has been replaced");
    // A connection of before ends as well, as soon as it was looked at.
    while reaches(&old).await {
        tokio::task::yield_now().await;
    }
    assert!(service_token(&place.dialled(Some(&new_leaf)), SHOP).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_certificate_is_replaced_too_and_a_broken_one_is_not_taken() {
    let place = Place::start("required").await;
    let (leaf, next) = (place.authority.client(&[SHOP_NAME]), Authority::new("two"));
    let trusting_next = || dial(place.world.server().grpc(), next.dialled_with(Some(&leaf)));
    assert!(!reaches(&trusting_next()).await);
    let folder: &Path = place.folder.path();
    fs::write(folder.join("cert.pem"), "nothing").unwrap();
    assert!(place.reread().unwrap_err().contains("cert.pem"));
    next.server().write(folder, "cert.pem", "another-key.pem");
    assert!(place.reread().unwrap_err().contains("do not fit"), "half of the files are new");
    assert!(reaches(&place.dialled(Some(&leaf))).await, "what was known goes on");
    next.server().write(folder, "cert.pem", "key.pem");
    place.reread().unwrap();
    assert!(reaches(&trusting_next()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_tls_are_refused() {
    let place = Place::start("optional").await;
    for version in [0x01, 0x02] {
        // A ClientHello of TLS 1.0 or 1.1 with one suite of theirs and one signature algorithm of ours (RFC 5246, section 7.4.1).
        let rest = [0, 0, 2, 0xc0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 1];
        let body = [&[3, version][..], &[7; 32], &rest].concat();
        let length = u8::try_from(body.len()).unwrap();
        let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
        let mut stream = tokio::net::TcpStream::connect(place.world.server().grpc()).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        // A fatal alert, protocol_version.
        assert_eq!((answer.first(), answer.get(5..7)), (Some(&21), Some(&[2, 70][..])), "3.{version}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_identity_in_the_message_is_not_enough() {
    let place = Place::start("optional").await;
    let nothing = place.dialled(None);
    let request = IntrospectTokenRequest {
        client: Some(ClientAuthentication { client_id: SHOP.id.into(), credential: None }),
        token: "x".into(),
        end_user: None,
    };
    let mut request = tonic::Request::new(request);
    for header in ["x-forwarded-client-cert", "x-ssl-client-cert", "x-client-san"] {
        request.metadata_mut().insert(header, format!("URI={SHOP_NAME}").parse().unwrap());
    }
    assert!(is_unproven(nothing.token.clone().introspect_token(request).await));
}
