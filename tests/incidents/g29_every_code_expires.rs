//! G-29, WSO2 CVE-2024-8122: codes by text message never expired.

use countersign::config::layers;
use countersign_tests::{
    api::{To, Transport},
    everywhere,
    refusal::{EXPIRED_OOB_CODE, Refused as _},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

everywhere! {
    in Tenant::default().with_messages();

    async fn after_301_seconds_no_code_of_any_channel_or_purpose_is_accepted(world: World, api: Api) {
        let bob = world.person("bob").await;
        for to in [To::Phone("sms", NUMBER), To::Phone("voice", NUMBER), To::Email(None)] {
            let token = bob.mfa_token(&api).await;
            let (sent, message) = world.sent(api.associate_oob(&token, to)).await;
            world.advance(301);
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&EXPIRED_OOB_CODE);
        }
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for channel in ["sms", "voice", "email"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            world.advance(301);
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&EXPIRED_OOB_CODE);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_may_be_shorter_and_holds_across_a_restart() {
    let tenant = Tenant::default().with_messages().section("limits", &["oob_code_lifetime = '2m'"]);
    let mut world = World::start(Store::Redis, tenant).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let request = countersign_proto::v1::CreateChallengeRequest {
        client: countersign_tests::grpc::proof(BACKEND),
        mfa_token: token.clone(),
        challenge_types: vec!["oob".to_owned()],
        authenticator_id: String::new(),
        oob_channel: String::new(),
        end_user: None,
    };
    let answer = api.grpc().challenge.clone().create_challenge(request).await.unwrap().into_inner();
    let Some(countersign_proto::v1::create_challenge_response::Challenge::Oob(oob)) = answer.challenge else {
        panic!("no code was sent")
    };
    assert_eq!(oob.lifetime.map(|lifetime| lifetime.seconds), Some(120));
    let code = world.code(1).await;
    world.restart().await;
    let api = world.api(Transport::Grpc);
    world.advance(121);
    api.oob(BACKEND, &token, &oob.oob_code, &code).await.refused(&EXPIRED_OOB_CODE);
}

#[test]
fn no_lifetime_of_more_than_ten_minutes_can_be_configured() {
    for (lifetime, good) in [("600s", true), ("601s", false), ("119s", false), ("0s", false), ("10years", false)] {
        let tenant =
            Tenant::default().with_messages().section("limits", &[&format!("oob_code_lifetime = '{lifetime}'")]);
        let places = "[[messages.outbox]]\nname = 'outbox'\npath = '/nowhere/outbox'\n\
                      [storage]\nurl = 'sqlite::memory:'\n[keys]\nkek = 'a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE='\n";
        let (config, mistakes) = layers::parse(&tenant.toml(places), &layers::Variables::new());
        assert!(mistakes.as_slice().is_empty(), "{mistakes}");
        let said = config.check().err().map(|mistakes| mistakes.to_string()).unwrap_or_default();
        assert_eq!(!said.contains("oob_code_lifetime"), good, "{lifetime}: {said}");
    }
}
