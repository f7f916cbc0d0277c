//! G-06, Zitadel CVE-2025-64103: MFA was demanded only if the policy forced it. G-42, Fortinet CVE-2020-12812: another letter
//! case skipped the token. G-43, Kratos CVE-2024-45042: a cached level was believed.

use countersign_tests::{
    everywhere,
    person::PASSWORD,
    refusal::{MALFORMED_TOKEN, Refused as _},
    tenant::{BACKEND, LENIENT},
};

everywhere! {
    async fn where_mfa_is_optional_a_factor_is_asked_for_in_every_spelling_of_the_name(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.password_at(&api, LENIENT).await.unwrap().tokens();
        let phone = ann.enrol(&world, &api).await;
        for name in ["ann", "Ann", "ANN", " ann ", "ann@people.test", "ANN@PEOPLE.TEST", "\u{ff41}nn"] {
            api.login(LENIENT, name, PASSWORD).await.expect(name).mfa_token();
        }
        let manager = ann.manager(&world, &api, &phone).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        ann.password_at(&api, LENIENT).await.unwrap().tokens();
        ann.enrol(&world, &api).await;
        ann.password_at(&api, LENIENT).await.unwrap().mfa_token();
    }

    async fn a_code_without_a_password_never_logs_in(world: World, api: Api) {
        let (_, phone) = world.enrolled(&api, "ann").await;
        for token in ["csmfa_x", "ann", "null"] {
            api.otp(BACKEND, token, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        }
    }
}
