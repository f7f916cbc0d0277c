//! G-49, Authy CVE-2024-39891: an open endpoint told whether a number is registered.

use countersign_tests::{
    api::{To, Transport},
    everywhere,
    refusal::{BAD_ACCESS_TOKEN, Refused as _},
    sent::{NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use serde_json::json;

everywhere! {
    in Tenant::default().with_messages();

    async fn a_number_that_somebody_has_reads_like_one_that_nobody_has(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let bob = world.person("bob").await;
        for (number, name) in [(NUMBER.to_owned(), "XXXXXXXX0123"), (neighbour(124), "XXXXXXXX0124")] {
            let token = bob.mfa_token(&api).await;
            let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", &number))).await;
            assert_eq!((message.to.as_str(), sent.oob_code.len()), (number.as_str(), 75));
            let words = "is your code to add this phone to My Test Tenant. It is valid for 5 minutes. Do not share it with anyone.";
            assert_eq!(message.text, format!("{} {words}", message.code));
            let listed = api.list(&token).await.unwrap();
            assert!(listed.iter().any(|entry| !entry.active && entry.name.as_deref() == Some(name)));
        }
        // A telephone that two share lets each of them into their own account.
        let token = bob.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), bob.id.as_str());
        let tokens = ann.log_in_over(&world, &api, "sms").await;
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
    }

    async fn without_a_token_no_number_is_looked_at(world: World, api: Api) {
        world.with_telephone(&api, "ann", NUMBER).await;
        let before = world.message_ids();
        for number in [NUMBER, "+12025550199", "+1", "+33612345678", ""] {
            for bearer in ["nonsense", "csmfa_x"] {
                api.associate_oob(bearer, To::Phone("sms", number)).await.refused(&BAD_ACCESS_TOKEN);
            }
        }
        assert_eq!(world.message_ids(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_who_has_no_token_hears_the_same_of_every_number() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    world.with_telephone(&world.api(Transport::Http), "ann", NUMBER).await;
    let mut heard = Vec::new();
    for number in [NUMBER, "+12025550199", "+1", "+33612345678"] {
        let wish = json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": number});
        let answer = world.http().post("/mfa/associate", &wish).await;
        heard.push((answer.status, answer.text()));
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:?}");
    assert_eq!(heard[0].0, 401);
}
