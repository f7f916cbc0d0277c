//! G-02, Zitadel CVE-2023-47111: parallel checks of passwords got past the lock.

use countersign_tests::{
    everywhere,
    refusal::{LOCKED, RATE_LIMITED, Refused as _, WRONG_PASSWORD},
    tenant::BACKEND,
};
use futures_util::future::join_all;

everywhere! {
    async fn of_three_hundred_wrong_passwords_at_once_ten_are_looked_at(world: World, api: Api) {
        world.person("ann").await;
        let tries = (0..300).map(|number| {
            let api = api.clone();
            async move { api.login(BACKEND, "ann", &format!("wrong {number}")).await.unwrap_err() }
        });
        let refusals = join_all(tries).await;
        let (undecided, decided): (Vec<_>, Vec<_>) = refusals.iter().partition(|refusal| refusal.is_undecided());
        let looked_at = decided.iter().filter(|refusal| refusal.is(&WRONG_PASSWORD)).count();
        let strange: Vec<_> =
            decided.iter().filter(|refusal| ![&WRONG_PASSWORD, &LOCKED, &RATE_LIMITED].into_iter().any(|known| refusal.is(known))).collect();
        assert!(strange.is_empty(), "neither looked at nor turned away: {strange:?}");
        // An attempt that was charged, and whose answer came too late, was not looked at.
        assert!(looked_at <= 10 && looked_at + undecided.len() >= 10, "{looked_at}, undecided {}", undecided.len());
        let compared = world.metrics().await.sum("countersign_proof_evaluated_total", &["factor=\"password\""]);
        assert!(compared <= 10.0, "{compared} passwords were hashed");
        api.login(BACKEND, "ann", countersign_tests::person::PASSWORD).await.refused(&LOCKED);
    }
}
