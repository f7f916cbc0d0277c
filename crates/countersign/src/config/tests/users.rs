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

#[test]
fn a_login_name_is_one_persons_in_a_realm() {
    let user = |lines: &str| format!("{lines}\npassword_phc = '{PHC}'");
    let guests = "realms = [{ name = \"staff\" }, { name = \"guests\" }]";
    let toml = |of: &[String]| {
        let of: Vec<_> = of.iter().map(String::as_str).collect();
        users(&of).replace("realms = [{ name = \"staff\" }]", guests)
    };
    let good = toml(&[
        user("username = 'ada@example.com'\nemail = 'Ada@example.com'"),
        user("username = 'bob'"),
        user("realm = 'guests'\nusername = 'bob'\nemail = 'ada@example.com'"),
    ]);
    let outcome = loaded(&good, &[]);
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    let shared = toml(&[
        user("username = 'ada'\nemail = 'ada@example.com'"),
        user("username = ' ADA '\nemail = 'other@example.com'"),
        user("username = 'ADA@example.com'"),
        user("realm = 'staff'\nusername = 'cat'\nemail = 'other@Example.com'"),
        user("realm = 'guests'\nusername = 'ada'"),
    ]);
    assert_eq!(
        found(&shared),
        [
            "users[1].username: is the same as users[0].username, in the same realm",
            "users[2].username: is the same as users[0].email, in the same realm",
            "users[3].email: is the same as users[1].email, in the same realm",
        ]
    );
}
