//! G-31, Parse Server CVE-2026-31875: a recovery code was not consumed.

use countersign_tests::{
    api::Transport,
    everywhere,
    refusal::{Refused as _, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn a_used_recovery_code_is_dead_on_either_way_and_after_a_restart(mut world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let code = phone.recovery_code.clone().unwrap();
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &code).await.unwrap();
        for transport in [Transport::Http, Transport::Grpc] {
            let other = world.api(transport);
            let token = ann.mfa_token(&other).await;
            other.recovery(BACKEND, &token, &code).await.refused(&WRONG_RECOVERY_CODE);
        }
        world.restart().await;
        let api = world.api(api.transport());
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &code).await.refused(&WRONG_RECOVERY_CODE);
    }
}
