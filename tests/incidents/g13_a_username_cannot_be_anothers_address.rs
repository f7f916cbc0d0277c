//! G-13, Keycloak CVE-2024-1722: an account named like the victim's address locked the victim.

use countersign_domain::{
    id::RealmName,
    secret::Secret,
    usecase::manage_users::{AddUser, Added, NewPassword},
    user::Profile,
};
use countersign_tests::{
    everywhere,
    person::PASSWORD,
    tenant::{BACKEND, REALM},
};

everywhere! {
    async fn the_name_is_taken_in_any_spelling_and_the_victim_logs_in(world: World, api: Api) {
        world.person("ann").await;
        for name in ["ann@people.test", "ANN@People.Test", " ann@people.test", "Ann"] {
            let attacker = AddUser {
                realm: RealmName::new(REALM),
                username: name.to_owned(),
                email: None,
                notification_addresses: Vec::new(),
                profile: Profile::default(),
                password: NewPassword::Plain(Secret::new("attacker's own".to_owned())),
            };
            assert_eq!(world.app().add_users(vec![attacker]).await.unwrap(), [Added::NameTaken], "{name}");
        }
        api.login(BACKEND, "ann@people.test", PASSWORD).await.unwrap().mfa_token();
    }
}
