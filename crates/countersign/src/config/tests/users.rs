use super::{GOOD, loaded, mistakes};

/// Of the reference implementation; the password is `password`.
const PHC: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

fn users(of: &[&str]) -> String {
    of.iter().fold(GOOD.to_owned(), |toml, user| format!("{toml}\n[[users]]\n{user}\n"))
}

/// The mistakes, each as a person sees it.
fn found(toml: &str) -> Vec<String> {
    mistakes(toml, &[]).lines().skip(1).map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn every_hash_that_could_not_be_taken_in_is_found_before_the_start() {
    let user = |name: &str, phc: &str| format!("username = '{name}'\npassword_phc = '{phc}'");
    assert!(loaded(&users(&[&user("ada", PHC)]), &[]).is_ok());
    let cut = PHC.strip_suffix("MaO6Mm5c8y7cJHAph8ArZWb2GRPPc").unwrap();
    let found = found(&users(&[
        &user("ada", "$argon2id$v=19$x"),
        &user("bob", cut),
        &user("cat", PHC),
        &user("dan", &PHC.replace("m=65536,t=2", "m=8,t=1")),
        &user("eve", &PHC.replace("argon2id", "argon2i")),
    ]));
    let wrong: Vec<_> = found.iter().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(
        wrong,
        [
            "users[0].password_phc: must be an argon2id PHC string",
            "users[1].password_phc: must be an argon2id PHC string",
            "users[3].password_phc: is weaker than m=12288 and t=3",
            "users[4].password_phc: must be an argon2id PHC string",
        ]
    );
    assert!(!found.concat().contains("c29tZXNhbHQ"), "{found:?}");
}
