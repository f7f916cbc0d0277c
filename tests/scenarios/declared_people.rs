//! People whom the configuration declares.

use countersign_tests::{
    api::Outcome,
    everywhere,
    refusal::{Refused as _, WRONG_PASSWORD},
    tenant::{LENIENT, Tenant},
};

/// Of the reference implementation; the password is `password`.
const PHC: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

fn tenant() -> Tenant {
    Tenant::default().and(&format!("[[users]]\nusername = 'ann'\nemail = 'ann@people.test'\npassword_phc = '{PHC}'\n"))
}

everywhere! {
    in tenant();

    async fn somebody_declared_with_a_hash_logs_in_with_its_password(world: World, api: Api) {
        for name in ["ann", "Ann@people.test"] {
            let outcome = api.login(LENIENT, name, "password").await.unwrap();
            assert!(matches!(outcome, Outcome::Tokens(_)), "{name}: {outcome:?}");
        }
        api.login(LENIENT, "ann", "Password").await.refused(&WRONG_PASSWORD);
    }
}
