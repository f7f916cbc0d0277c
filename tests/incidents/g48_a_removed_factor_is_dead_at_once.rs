//! G-48, Devolutions CVE-2026-9047: after factors were changed the old state still counted.

use countersign_tests::{
    api::Transport,
    everywhere,
    refusal::{Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
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
