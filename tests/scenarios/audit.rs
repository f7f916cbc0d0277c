//! Every result and every change is exactly one row of a chain that is whole (S-17).

use std::sync::Arc;

use countersign_domain::{
    audit::{
        chain::{AuditChain, AuditRow},
        verify::Verifier,
    },
    secret::Secret,
    usecase::manage_users::NewPassword,
    user::AddressChange,
};
use countersign_tests::{
    api::{Outcome, Wish},
    everywhere,
    person::PASSWORD,
    tenant::{API, BACKEND, Client, LENIENT, NATIVE, Tenant},
    trail::{self, Trail},
    world::World,
};

everywhere! {
    async fn each_result_and_each_change_is_one_row(world: World, api: Api) {
        let mut trail = Trail::of(&world);
        let ann = world.person("ann").await;
        let rows = trail.says("an operator adds a user", &["user.added"]);
        assert!(rows[0].operator.as_deref().is_some_and(|who| who.starts_with("process ")), "{rows:?}");

        api.login(BACKEND, "ann", "wrong").await.unwrap_err();
        let rows = trail.says("a wrong password", &["proof_rejected.password"]);
        assert_eq!((rows[0].user.as_str(), rows[0].client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
        api.login(BACKEND, "nobody", "my password by mistake").await.unwrap_err();
        let rows = trail.says("a name that nobody has", &["proof_rejected.password"]);
        assert_eq!(rows[0].user, "", "what was typed is written nowhere");

        let token = ann.mfa_token(&api).await;
        let rows = trail.says("a right password", &["login.mfa_required"]);
        assert_eq!(rows[0].detail.as_deref(), Some("password; policy:policy_always,not_enrolled"));
        let association = api.associate(&token).await.unwrap();
        trail.says("an enrolment begins", &["enrollment.started"]);
        let mut phone = countersign_tests::person::Phone::new(association.secret, association.recovery_codes.into_iter().next());
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        trail.says("its first code is wrong", &["proof_rejected.otp"]);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        trail.says("its first code is right", &["enrollment.completed"]);

        world.advance(60);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        let code = phone.code(&world);
        api.otp(BACKEND, &token, &code).await.unwrap();
        trail.says("a wrong code, a right one", &["login.mfa_required", "proof_rejected.otp", "login.otp"]);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.unwrap_err();
        trail.says("the same code again", &["login.mfa_required", "proof_rejected.otp"]);

        api.recovery(BACKEND, &token, "AAAAAAAAAAAAAAAAAAAAAAAA").await.unwrap_err();
        let next = api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap().recovery_code;
        trail.says("recovery codes", &["proof_rejected.recovery_code", "login.recovery_code"]);
        phone.recovery_code = next;

        world.advance(60);
        let wish = Wish { audience: Some(API), scope: Some("openid offline_access"), ..Wish::default() };
        let token = api.login_for(NATIVE, "ann", PASSWORD, wish).await.map(Outcome::mfa_token).unwrap();
        let first = api.otp(NATIVE, &token, &phone.code(&world)).await.unwrap();
        let second = api.refresh(NATIVE, first.refresh(), None).await.unwrap().tokens();
        trail.says("a refresh token", &["login.mfa_required", "login.otp", "token.refreshed"]);
        api.refresh(BACKEND, second.refresh(), None).await.unwrap_err();
        trail.says("of another client", &["proof_rejected.refresh_token"]);
        api.refresh(NATIVE, second.refresh(), Some("openid write:things")).await.unwrap_err();
        let rows = trail.says("for more than was granted", &["proof_rejected.refresh_token"]);
        assert_eq!(rows[0].detail.as_deref(), Some("scope exceeded"));
        api.login(Client { secret: Some("a guess"), ..BACKEND }, "ann", PASSWORD).await.unwrap_err();
        api.login(Client { id: "a typed name", ..BACKEND }, "ann", PASSWORD).await.unwrap_err();
        let rows = trail.says("no such clients", &["proof_rejected.client"; 2]);
        assert_eq!((rows[0].client.as_deref(), rows[1].client.as_deref()), (Some(BACKEND.id), None));
        assert!(rows.iter().all(|row| row.address.as_deref() == Some("127.0.0.1")), "{rows:?}");
        api.refresh(NATIVE, first.refresh(), None).await.unwrap_err();
        trail.says("a reuse", &["token.reused"]);
        api.refresh(NATIVE, second.refresh(), None).await.unwrap_err();
        trail.says("what was revoked", &["proof_rejected.refresh_token"]);

        world.advance(60);
        let manager = ann.manager(&world, &api, &phone).await;
        trail.says("a login to manage", &["login.mfa_required", "login.otp"]);
        let id = api.list(&manager).await.unwrap().into_iter().find(|entry| entry.id.starts_with("totp|")).unwrap().id;
        trail.says("looking changes nothing", &[]);
        api.delete(&manager, &id).await.unwrap();
        trail.says("a removal", &["authenticator.removed"]);

        let new = NewPassword::Plain(Secret::new("another passphrase".into()));
        world.app().set_password(&ann.id, new).await.unwrap();
        world.app().set_blocked(&ann.id, true).await.unwrap();
        trail.says("an operator", &["user.password_set", "user.blocked"]);
        api.login(BACKEND, "ann", "another passphrase").await.unwrap_err();
        let rows = trail.says("who is blocked", &["proof_rejected.password"]);
        assert_eq!(rows[0].detail.as_deref(), Some("blocked"));
        world.app().set_blocked(&ann.id, false).await.unwrap();
        world.app().reset_factors(&ann.id).await.unwrap();
        world.app().change_addresses(&ann.id, AddressChange { add: vec!["a@example.com".into()], remove: Vec::new() }).await.unwrap();
        trail.says("an operator", &["user.unblocked", "user.factors_reset", "user.notification_addresses_changed"]);
        assert_whole(&world);
    }

    async fn a_challenge_that_sends_nothing_is_no_row(world: World, api: Api) {
        let (ann, _phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let mut trail = Trail::of(&world);
        api.challenge(BACKEND, &token, "otp", None).await.unwrap();
        trail.says("an app shows its code anyway", &[]);
    }

    async fn a_login_by_password_alone_is_one_row(world: World, api: Api) {
        let ann = world.person("ann").await;
        let mut trail = Trail::of(&world);
        ann.password_at(&api, LENIENT).await.unwrap().tokens();
        trail.says("no second factor", &["login.password"]);
    }

    async fn what_is_not_looked_at_is_a_row_too(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let mut trail = Trail::of(&world);
        for _ in 0..10 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        }
        let asker = |row: &AuditRow| (row.client.clone(), row.address.clone());
        let wrong = trail.says("ten wrong codes", &["proof_rejected.otp"; 10]);
        assert_eq!(wrong[0].client.as_deref(), Some(BACKEND.id));
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        let refused = trail.says("one more", &["throttled.otp"]);
        assert_eq!(asker(&refused[0]), asker(&wrong[0]), "who guesses on is worth knowing");
        let bob = world.person("bob").await;
        trail.new_rows();
        for _ in 0..10 {
            api.login(BACKEND, &bob.username, "wrong").await.unwrap_err();
        }
        let wrong = trail.says("ten wrong passwords", &["proof_rejected.password"; 10]);
        api.login(BACKEND, &bob.username, "wrong").await.unwrap_err();
        let refused = trail.says("one more", &["throttled.password"]);
        assert_eq!(asker(&refused[0]), asker(&wrong[0]));
    }
}

fn assert_whole(world: &World) {
    let rows = trail::rows(&world.database());
    let mut verifier = Verifier::new(AuditChain::new(Arc::clone(&world.app().sealer)));
    for row in &rows {
        verifier.take(row).unwrap();
    }
    assert_eq!(verifier.end().unwrap().id, rows.last().unwrap().id);
}

everywhere! {
    in Tenant::default().with_devices();

    async fn what_is_sent_to_complete_a_login_is_a_row(world: World, api: Api) {
        let ann = world.person("ann").await;
        let mut trail = Trail::of(&world);
        let token = ann.mfa_token(&api).await;
        trail.new_rows();
        // The address is a factor that nobody has to enrol.
        let sent = api.send_code(BACKEND, &token, None, Some("email")).await.unwrap();
        let rows = trail.says("a code by e-mail", &["challenge.opened"]);
        let row = &rows[0];
        assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
        assert_eq!((row.authenticator.as_deref(), row.detail.as_deref()), (sent.authenticator.as_deref(), Some("email")));
        assert!(!format!("{row:?}").contains(&ann.email), "it says nothing of where to: {row:?}");
        api.send_code(BACKEND, &token, Some("sms|dev_0000000000000000"), None).await.unwrap_err();
        trail.says("nothing was sent", &[]);
        assert_whole(&world);
    }
}
