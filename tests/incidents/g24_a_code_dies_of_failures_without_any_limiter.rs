//! G-24, Outline CVE-2026-33640: a code was not invalidated by failures, only a limiter that could be passed protected it.

use countersign_tests::{
    everywhere,
    refusal::{Refused as _, WRONG_BINDING_CODE},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
};

/// A limit that never says no.
fn without_limiter() -> Tenant {
    Tenant::default().with_messages().section("limits.factor_failures", &["capacity = 100", "refill = '1ms'"])
}

everywhere! {
    in without_limiter();

    async fn the_tries_of_a_code_protect_it_alone(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for channel in ["sms", "voice", "email"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            for _ in 0..12 {
                world.advance_millis(100);
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&WRONG_BINDING_CODE);
        }
    }
}
