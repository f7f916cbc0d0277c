//! G-52, Authelia CVE-2025-24806: username and address were counted apart, which doubled the tries.

use countersign_tests::{
    everywhere,
    person::PASSWORD,
    refusal::{TOO_MANY_CODES, TOO_MANY_SMS, WRONG_BINDING_CODE},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
};

const NAMES: [&str; 4] = ["ann", "ann@people.test", " ANN ", "Ann@People.Test"];

everywhere! {
    in Tenant::default().with_messages();

    async fn ten_codes_are_looked_at_whatever_name_the_login_began_with(world: World, api: Api) {
        world.with_telephone(&api, "ann", NUMBER).await;
        let mut looked_at = 0;
        for name in NAMES {
            let token = api.login(BACKEND, name, PASSWORD).await.unwrap().mfa_token();
            let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
            for _ in 0..5 {
                let refusal = api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.unwrap_err();
                // The login ends with the tries.
                if !refusal.is(&WRONG_BINDING_CODE) { assert!(refusal.is(&TOO_MANY_CODES), "{refusal:?}"); break; }
                looked_at += 1;
            }
        }
        assert_eq!(looked_at, 10);
    }

    async fn ten_messages_are_sent_whatever_name_the_login_began_with(world: World, api: Api) {
        world.with_telephone(&api, "ann", NUMBER).await;
        let mut sent = 1;
        for name in NAMES.iter().cycle().take(12) {
            let token = api.login(BACKEND, name, PASSWORD).await.unwrap().mfa_token();
            if sent < 10 {
                world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
                sent += 1;
            } else {
                world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
            }
        }
        assert_eq!(sent, 10);
    }
}
