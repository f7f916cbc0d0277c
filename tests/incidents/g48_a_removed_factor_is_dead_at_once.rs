//! G-48, Devolutions CVE-2026-9047: after factors were changed the old state still counted.

use countersign_tests::{
    api::Transport,
    everywhere,
    refusal::{MALFORMED_TOKEN, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

everywhere! {
    async fn after_removal_and_new_enrolment_the_old_app_and_code_are_dead_everywhere(world: World, api: Api) {
        let (ann, old) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &old).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        let new = ann.enrol(&world, &api).await;
        for transport in [Transport::Http, Transport::Grpc] {
            let other = world.api(transport);
            let token = ann.mfa_token(&other).await;
            other.otp(BACKEND, &token, &old.code(&world)).await.refused(&WRONG_OTP);
            other.recovery(BACKEND, &token, old.recovery_code.as_deref().unwrap()).await.refused(&WRONG_RECOVERY_CODE);
            other.otp(BACKEND, &token, &new.code(&world)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_removed_is_dead_at_another() {
    let folder = tempfile::tempdir().unwrap();
    let first = World::start_at(folder.path(), Store::Sqlite, Tenant::default()).await;
    let api = first.api(Transport::Grpc);
    let (ann, phone) = first.enrolled(&api, "ann").await;
    let second = World::start_at(folder.path(), Store::Sqlite, Tenant::default()).await;
    for world in [&first, &second] {
        world.advance(60);
    }
    let elsewhere = second.api(Transport::Http);
    let waiting = ann.mfa_token(&elsewhere).await;
    let manager = ann.manager(&first, &api, &phone).await;
    let id = api.list(&manager).await.unwrap().remove(0).id;
    api.delete(&manager, &id).await.unwrap();
    second.advance(60);
    elsewhere.otp(BACKEND, &waiting, &phone.code(&second)).await.refused(&MALFORMED_TOKEN);
    let token = ann.mfa_token(&elsewhere).await;
    elsewhere.otp(BACKEND, &token, &phone.code(&second)).await.refused(&WRONG_OTP);
    assert_eq!(elsewhere.list(&token).await.unwrap(), []);
}
