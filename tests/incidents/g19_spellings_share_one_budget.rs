//! G-19, Vault CVE-2025-6004, and G-52, Authelia CVE-2025-24806: each spelling of a name had tries of its own.

use countersign_tests::{
    everywhere,
    refusal::{LOCKED, Refused as _, WRONG_PASSWORD},
    tenant::BACKEND,
};

everywhere! {
    async fn ten_tries_are_all_for_every_spelling_of_a_name_that_exists_or_not(world: World, api: Api) {
        world.person("jos\u{e9}").await;
        for stem in ["jos\u{e9}", "nobod\u{e9}"] {
            let spellings = [
                stem.to_owned(), stem.to_uppercase(), format!(" {stem}"), format!("{stem}\u{3000}"),
                stem.replace('\u{e9}', "e\u{301}"), stem.replace('o', "\u{ff4f}"),
            ];
            for number in 0..10 {
                api.login(BACKEND, &spellings[number % spellings.len()], "wrong").await.refused(&WRONG_PASSWORD);
            }
            for spelling in spellings {
                api.login(BACKEND, &spelling, "wrong").await.refused(&LOCKED);
            }
        }
        // The address names the same account, and shares its tries.
        api.login(BACKEND, "jos\u{e9}@people.test", "wrong").await.refused(&LOCKED);
    }
}
