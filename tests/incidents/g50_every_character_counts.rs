//! G-50, Okta 2024: with a long name the password was cut from what was hashed, so that any password would do.

use countersign_domain::{
    id::RealmName,
    secret::Secret,
    usecase::manage_users::{AddUser, Added, NewPassword},
    user::Profile,
};
use countersign_tests::{
    everywhere,
    refusal::{Refused as _, WRONG_PASSWORD},
    tenant::{BACKEND, REALM},
};

const LENGTH: usize = 200;

/// `text` with another character at `position`.
fn changed(text: &str, position: usize) -> String {
    text.chars().enumerate().map(|(place, character)| if place == position { '#' } else { character }).collect()
}

everywhere! {
    async fn of_a_name_and_a_password_of_200_characters_every_one_counts(world: World, api: Api) {
        let (name, password) = ("n".repeat(LENGTH), format!("{}q", "p".repeat(LENGTH - 1)));
        let other = changed(&name, LENGTH - 1);
        let user = |username: &str, password: &str| AddUser {
            realm: RealmName::new(REALM),
            username: username.to_owned(),
            email: None,
            notification_addresses: Vec::new(),
            profile: Profile::default(),
            password: NewPassword::Plain(Secret::new(password.to_owned())),
        };
        let both = vec![user(&name, &password), user(&other, "of somebody else")];
        assert!(world.app().add_users(both).await.unwrap().iter().all(|added| matches!(added, Added::Added(_))));
        // 52 was the length of the name there, 72 is where bcrypt ends.
        for position in [0, 51, 52, 71, 72, 127, LENGTH - 1] {
            api.login(BACKEND, &name, &changed(&password, position)).await.refused(&WRONG_PASSWORD);
            api.login(BACKEND, &changed(&name, position), &password).await.refused(&WRONG_PASSWORD);
        }
        for cut in [&password[..72], &password[..LENGTH - 1]] {
            api.login(BACKEND, &name, cut).await.refused(&WRONG_PASSWORD);
        }
        api.login(BACKEND, &name, &password).await.unwrap().mfa_token();
        api.login(BACKEND, &other, "of somebody else").await.unwrap().mfa_token();
    }
}
