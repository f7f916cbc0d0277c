//! Watching what becomes of a question to a device, instead of asking again and again. Over gRPC alone.

use countersign_proto::v1::{WatchChallengeRequest, WatchChallengeResponse};
use countersign_tests::{
    api::{Api, To, Transport},
    device::{Device, ticket},
    everywhere,
    grpc::{Grpc, proof},
    http::Http,
    refusal::{
        self, BAD_OOB_CODE, EXPIRED_TOKEN, FOREIGN_OOB_CODE, MALFORMED_TOKEN, Refusal, Refused as _, TOO_FAST,
        WRONG_CLIENT,
    },
    sent::NUMBER,
    tenant::{BACKEND, Client, NATIVE, Tenant},
    world::{Store, World},
};
use tonic::{Code, Streaming};

const PENDING: &str = "CHALLENGE_STATE_PENDING";
const APPROVED: &str = "CHALLENGE_STATE_APPROVED";
const REJECTED: &str = "CHALLENGE_STATE_REJECTED";
const EXPIRED: &str = "CHALLENGE_STATE_EXPIRED";

type Stream = Streaming<WatchChallengeResponse>;

async fn watch(api: &Api, client: Client, token: &str, oob_code: &str) -> Result<Stream, Refusal> {
    let request =
        WatchChallengeRequest { client: proof(client), mfa_token: token.to_owned(), oob_code: oob_code.to_owned() };
    let stream = api.grpc().challenge.clone().watch_challenge(request).await;
    stream.map(tonic::Response::into_inner).map_err(|status| Refusal::Grpc(Box::new(status)))
}

async fn next(stream: &mut Stream) -> Option<&'static str> {
    stream.message().await.expect("the stream goes on").map(|message| message.state().as_str_name())
}

everywhere! {
    in Tenant::default().with_devices();

    async fn who_watches_hears_of_the_answer_and_fetches_tokens(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        for accepted in [true, false] {
            let (token, asked, pushed) = ann.asked(&world, &api).await;
            let mut streams = Vec::new();
            for _ in 0..3 {
                let mut stream = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
                assert_eq!(next(&mut stream).await, Some(PENDING));
                streams.push(stream);
            }
            let number = asked.number.as_deref();
            api.resolve(&pushed.token, &device.answer(&world, &pushed, accepted, number)).await.unwrap();
            for mut stream in streams {
                assert_eq!(next(&mut stream).await, Some(if accepted { APPROVED } else { REJECTED }));
                assert_eq!(next(&mut stream).await, None, "it is final");
            }
            // Who comes late is told at once.
            let mut late = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
            assert_eq!(next(&mut late).await, Some(if accepted { APPROVED } else { REJECTED }));
            if accepted {
                api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
            }
        }
    }

    async fn an_enrolment_is_watched_until_the_device_registers(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let mut stream = watch(&api, BACKEND, &token, &barcode.oob_code).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(PENDING));
        api.enroll_device(&ticket(&barcode), &Device::new("ann")).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(APPROVED));
        api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
    }

    async fn a_question_that_is_over_ends_its_streams(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, _) = ann.asked(&world, &api).await;
        let mut superseded = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
        assert_eq!(next(&mut superseded).await, Some(PENDING));
        // The newest question is the one that counts.
        let (asked, _) = world.pushed(api.ask(BACKEND, &token, None)).await;
        assert_eq!((next(&mut superseded).await, next(&mut superseded).await), (Some(EXPIRED), None));
        let mut expires = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
        assert_eq!(next(&mut expires).await, Some(PENDING));
        world.advance(300);
        assert_eq!((next(&mut expires).await, next(&mut expires).await), (Some(EXPIRED), None));
    }

    async fn nobody_watches_what_is_not_theirs(world: World, api: Api) {
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        ann.enrol_device(&api, &Device::new("ann")).await;
        let (token, asked, _) = ann.asked(&world, &api).await;
        let (other, foreign) = (ann.mfa_token(&api).await, bob.mfa_token(&api).await);
        for token in [&other, &foreign] {
            watch(&api, BACKEND, token, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        }
        let natively = ann.password_at(&api, NATIVE).await.unwrap().mfa_token();
        watch(&api, NATIVE, &natively, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        watch(&api, Client { secret: Some("wrong"), ..BACKEND }, &token, &asked.oob_code).await.refused(&WRONG_CLIENT);
        watch(&api, BACKEND, "csmfa_x", &asked.oob_code).await.refused(&MALFORMED_TOKEN);
        watch(&api, BACKEND, &token, "csapp_x").await.refused(&BAD_OOB_CODE);
        let status = watch(&api, BACKEND, &token, "").await.unwrap_err();
        assert!(matches!(status, Refusal::Grpc(status) if status.code() == Code::InvalidArgument));
        world.advance(600);
        watch(&api, BACKEND, &token, &asked.oob_code).await.refused(&EXPIRED_TOKEN);
    }

    async fn eight_may_watch_one_question(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_device(&api, &Device::new("ann")).await;
        let (token, asked, _) = ann.asked(&world, &api).await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap());
        }
        watch(&api, BACKEND, &token, &asked.oob_code).await.refused(&TOO_FAST);
        drop(streams);
        // Whoever leaves makes room, as soon as the server has noticed.
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        while watch(&api, BACKEND, &token, &asked.oob_code).await.is_err() {
            ticks.tick().await;
        }
        // Nine began to watch, so that three requests of the twelve are left.
        for _ in 0..3 {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&refusal::PENDING);
        }
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&TOO_FAST);
    }

    async fn a_code_to_be_typed_in_cannot_be_watched(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (sent, _) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        let refused = watch(&api, BACKEND, &token, &sent.oob_code).await.unwrap_err();
        assert!(matches!(refused, Refusal::Grpc(status) if status.code() == Code::InvalidArgument));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_those_go_who_watch() {
    let mut world = World::start(Store::Sqlite, Tenant::default().with_devices()).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let device = Device::new("ann");
    ann.enrol_device(&api, &device).await;
    let (token, asked, pushed) = ann.asked(&world, &api).await;
    let mut stream = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(PENDING));
    world.restart().await;
    assert!(stream.message().await.is_err_and(|status| status.code() == Code::Unavailable));
    // Elsewhere it goes on.
    let api = world.api(Transport::Grpc);
    let mut stream = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(PENDING));
    api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(APPROVED));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_another_server_took_is_seen_too() {
    for store in [Store::Sqlite, Store::Redis] {
        let world = World::start(store, Tenant::default().with_devices()).await;
        let api = world.api(Transport::Grpc);
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let mut stream = watch(&api, BACKEND, &token, &asked.oob_code).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(PENDING));
        let second = world.another_server().await;
        let there = Http::new(format!("http://{}", second.http())).await;
        let elsewhere = Api::new(Transport::Http, there, Grpc::new(second.grpc()));
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        elsewhere.resolve(&pushed.token, &answer).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(APPROVED));
        let tokens = elsewhere.poll(BACKEND, &token, &asked.oob_code).await.expect("whoever is asked for them");
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
        second.stop().await;
    }
}
