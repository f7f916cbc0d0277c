//! G-03, Keycloak CVE-2024-4629: simultaneous attempts beat the detection of brute force.

use countersign_tests::{
    dump, everywhere,
    refusal::{TOO_MANY_CODES, WRONG_OTP},
    tenant::BACKEND,
};
use futures_util::future::join_all;

everywhere! {
    async fn of_three_hundred_wrong_codes_at_once_over_many_sessions_ten_are_looked_at(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wrong = phone.wrong(&world);
        let mut tokens = Vec::new();
        for _ in 0..30 {
            tokens.push(ann.mfa_token(&api).await);
        }
        let tries = (0..300).map(|number| {
            let (api, token, wrong) = (api.clone(), tokens[number % tokens.len()].clone(), wrong.clone());
            async move { api.otp(BACKEND, &token, &wrong).await.unwrap_err() }
        });
        let refusals = join_all(tries).await;
        let undecided = refusals.iter().filter(|refusal| refusal.is_undecided()).count();
        let looked_at = refusals.iter().filter(|refusal| refusal.is(&WRONG_OTP)).count();
        let turned_away = refusals.iter().filter(|refusal| refusal.is(&TOO_MANY_CODES)).count();
        // An attempt that was charged, and whose answer came too late, was not looked at.
        assert!(looked_at <= 10 && looked_at + undecided >= 10, "{looked_at}, undecided {undecided}");
        assert_eq!(looked_at + turned_away + undecided, 300);
        assert!(refusals.iter().filter(|refusal| refusal.is(&TOO_MANY_CODES)).all(|refusal| refusal.retry_after().is_some()));
        assert_eq!(dump::audited(&world.database(), "proof_rejected.otp", ann.id.as_str()), i64::try_from(looked_at).unwrap());
    }
}
