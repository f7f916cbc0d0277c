//! G-28, `WordPress` "Login with OTP" CVE-2026-8760: the lock was looked at where a code is made, not where it is typed in, and a code
//! never ended.

use countersign_tests::{
    api::{To, Transport},
    everywhere,
    refusal::{EXPIRED_OOB_CODE, Refused as _, TOO_MANY_CODES, WRONG_BINDING_CODE},
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::{BACKEND, NATIVE, Tenant},
};

everywhere! {
    in Tenant::default().with_messages();

    async fn once_locked_no_code_is_looked_at_however_it_was_come_by(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        // Begun before the lock: another login, another client, another channel, an enrolment.
        let (early, by_mail, mail) = ann.challenged(&world, &api, "email").await;
        let native = ann.password_at(&api, NATIVE).await.unwrap().mfa_token();
        let (by_call, call) = world.sent(api.send_code(NATIVE, &native, None, Some("voice"))).await;
        let (enrolling, enrolment) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        for _ in 0..10 {
            api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        }
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
        api.oob(BACKEND, &early, &by_mail.oob_code, &mail.code).await.refused(&TOO_MANY_CODES);
        api.oob(NATIVE, &native, &by_call.oob_code, &call.code).await.refused(&TOO_MANY_CODES);
        api.oob(BACKEND, &manager, &enrolling.oob_code, &enrolment.code).await.refused(&TOO_MANY_CODES);
        // And after it, over either transport.
        for transport in [Transport::Http, Transport::Grpc] {
            let other = world.api(transport);
            let (token, sent, message) = ann.challenged(&world, &other, "email").await;
            other.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
        }
    }

    async fn the_first_enrolment_is_locked_like_a_login(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..2 {
            let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
            for _ in 0..5 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        let token = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
    }

    async fn a_code_that_nobody_types_in_ends_by_itself(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        world.advance(300);
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&EXPIRED_OOB_CODE);
    }
}
