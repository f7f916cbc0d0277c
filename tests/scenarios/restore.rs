//! A backup is put back. What was used, revoked or taken away since does not come back with it (S-39).

use std::path::{Path, PathBuf};

use countersign_domain::{secret::Secret, usecase::manage_users::NewPassword};
use countersign_tests::{
    api::{Api, Outcome, Transport, Wish},
    dump, everywhere, otp,
    person::PASSWORD,
    process::Ended,
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    signer,
    tenant::{API, BACKEND, REMEMBERING, SIGNER, Tenant},
    trail,
    world::{Store, World},
};

/// Longer than no code of an app is taken.
const QUARANTINE: u64 = 330;

/// A backup of the world as it is. What happens next happens to a server that was started again, so that it is newer by a mark.
async fn back_up(world: &mut World) -> PathBuf {
    let copy = world.database().with_extension("copy");
    dump::back_up(&world.database(), &copy);
    world.restart().await;
    copy
}

/// The export of the trail, in a file.
async fn exported(world: &World) -> String {
    let export = world.command(&["audit", "export"]).await;
    assert_eq!(export.code, 0, "{export:?}");
    let file = world.database().with_extension("jsonl");
    std::fs::write(&file, export.out).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Puts the backup back; it is not served as it is.
async fn put_back(world: &mut World, copy: &Path) {
    world.stop().await;
    dump::put_back(copy, &world.database());
    let refused = world.try_start_again().await.unwrap_err();
    assert!(refused.contains("may be a backup") && refused.contains("it is older than"), "{refused}");
}

async fn fence(world: &mut World, arguments: &[&str]) -> Ended {
    let done = world.command(&[&["fence"], arguments].concat()).await;
    assert_eq!(done.code, 0, "{done:?}");
    world.try_start_again().await.unwrap();
    done
}

/// The next token of a device by which Cid is remembered; none if he is asked for the second factor.
async fn remembered(api: &Api, device: &str) -> Option<String> {
    let wish = Wish { device_token: Some(device), ..Wish::default() };
    match api.login_for(REMEMBERING, "cid", PASSWORD, wish).await.unwrap() {
        Outcome::Tokens(tokens) => tokens.device_token,
        Outcome::MfaRequired(_) => None,
    }
}

/// Whether a client gets a token of its own with this assertion.
async fn is_good(api: &Api, assertion: &str) -> bool {
    let wish = Wish { audience: Some(API), ..Wish::default() };
    api.signed(assertion).service(SIGNER, wish).await.is_ok()
}

everywhere! {
    async fn after_a_restore_and_a_fence_nothing_that_was_used_or_taken_away_comes_back(mut world: World, api: Api) {
        let transport = api.transport();
        let (ann, anns) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        let (cid, cids) = world.enrolled(&api, "cid").await;
        let (dan, _) = world.enrolled(&api, "dan").await;
        let (eve, _) = world.enrolled(&api, "eve").await;
        world.advance(60);
        let manager = bob.manager(&world, &api, &bobs).await;
        world.advance(60);
        let second = bob.add_phone(&world, &api, &manager).await;
        let first_refresh = cid.lasting(&world, &api, &cids).await.refresh().to_owned();
        let token = api.login(REMEMBERING, "cid", PASSWORD).await.unwrap().mfa_token();
        let tokens = api.otp_remembering(REMEMBERING, &token, &cids.code(&world)).await.unwrap();
        let first_device = tokens.device_token.unwrap();
        let early = cid.mfa_token(&api).await;
        let copy = back_up(&mut world).await;
        let api = world.api(transport);

        // What the backup does not know.
        let token = ann.mfa_token(&api).await;
        let used = anns.recovery_code.clone().unwrap();
        let successor = api.recovery(BACKEND, &token, &used).await.unwrap().recovery_code.unwrap();
        world.advance(60);
        let manager = bob.manager(&world, &api, &bobs).await;
        let listed = api.list(&manager).await.unwrap();
        let apps: Vec<_> = listed.iter().filter(|entry| entry.kind == "otp").collect();
        api.delete(&manager, &apps.last().unwrap().id).await.unwrap();
        let second_refresh = api.refresh(BACKEND, &first_refresh, None).await.unwrap().tokens();
        let second_device = remembered(&api, &first_device).await.unwrap();
        let other = NewPassword::Plain(Secret::new("another long password 4 dan".to_owned()));
        assert!(world.app().set_password(&dan.id, other).await.unwrap());
        assert!(world.app().set_blocked(&eve.id, true).await.unwrap());
        let late = cid.mfa_token(&api).await;
        let assertion = signer::assertion(&world, "one");
        assert!(is_good(&api, &assertion).await);
        let token = cid.mfa_token(&api).await;
        let seen = cids.code(&world);
        api.otp(BACKEND, &token, &seen).await.unwrap();
        let export = exported(&world).await;

        put_back(&mut world, &copy).await;
        let done = fence(&mut world, &["--audit", &export]).await;
        for (name, said) in [("ann", "reset"), ("bob", "reset"), ("dan", "blocked"), ("eve", "blocked")] {
            let line = |line: &str| line.starts_with(&format!("{said}\t")) && line.contains(&format!("\t{name} of "));
            assert!(done.out.lines().any(line), "{name}: {}", done.out);
        }
        assert!(!done.out.contains("\tcid of "), "{}", done.out);
        let api = world.api(transport);

        for pending in [&early, &late] {
            api.otp(BACKEND, pending, &seen).await.refused(&MALFORMED_TOKEN);
        }
        for token in [&first_refresh, second_refresh.refresh()] {
            api.refresh(BACKEND, token, None).await.refused(&BAD_REFRESH_TOKEN);
        }
        let again = cid.mfa_token(&api).await;
        api.otp(BACKEND, &again, &seen).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &again, &otp::code_at(&cids.secret, world.now())).await.refused(&WRONG_OTP);
        for device in [&first_device, &second_device] {
            assert_eq!(remembered(&api, device).await, None);
        }
        for jwt in [&assertion, &signer::assertion(&world, "of the same moment")] {
            assert!(!is_good(&api, jwt).await);
        }
        for name in ["dan", "eve"] {
            api.login(BACKEND, name, PASSWORD).await.unwrap_err();
        }
        // Whose factors were changed has none: they enrol, with whatever they had being worth nothing.
        let token = ann.mfa_token(&api).await;
        for code in [&used, &successor] {
            api.recovery(BACKEND, &token, code).await.refused(&WRONG_RECOVERY_CODE);
        }
        let token = bob.mfa_token(&api).await;
        world.advance(QUARANTINE);
        for app in [&bobs, &second] {
            api.otp(BACKEND, &token, &app.code(&world)).await.refused(&WRONG_OTP);
        }

        // And whoever the backup knows as they were goes on.
        assert!(is_good(&api, &signer::assertion(&world, "later")).await);
        cid.log_in(&world, &api, &cids).await;
        let token = cid.mfa_token(&api).await;
        api.recovery(BACKEND, &token, cids.recovery_code.as_deref().unwrap()).await.unwrap();
        world.advance(60);
        let anns = ann.enrol(&world, &api).await;
        world.advance(60);
        ann.log_in(&world, &api, &anns).await;
        assert_eq!(world.command(&["audit", "verify"]).await.code, 0);
        let rows = trail::rows(&world.database());
        let fenced = rows.iter().find(|row| row.event == "deployment.fenced").unwrap();
        let detail = fenced.detail.as_deref().unwrap();
        assert!(detail.starts_with("restored=") && detail.contains(" factors=audit until="), "{detail}");
        assert!(fenced.operator.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trail_authenticators_are_kept_and_recovery_codes_void() {
    let mut world = World::start(Store::Sqlite, Tenant::default()).await;
    let (ann, phone) = world.enrolled(&world.api(Transport::Http), "ann").await;
    let copy = back_up(&mut world).await;
    put_back(&mut world, &copy).await;
    let done = fence(&mut world, &["--factors", "keep"]).await;
    assert!(done.out.contains("removed\t0 authenticators, 1 recovery codes"), "{done:?}");
    let api = world.api(Transport::Http);
    let token = ann.mfa_token(&api).await;
    api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.refused(&WRONG_RECOVERY_CODE);
    api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
    world.advance(QUARANTINE);
    let manager = ann.manager(&world, &api, &phone).await;
    let association = api.associate(&manager).await.unwrap();
    assert_eq!(association.recovery_codes.len(), 1, "another app brings another code");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trail_everybody_may_be_reset() {
    let mut world = World::start(Store::Sqlite, Tenant::default()).await;
    let (ann, phone) = world.enrolled(&world.api(Transport::Http), "ann").await;
    let copy = back_up(&mut world).await;
    put_back(&mut world, &copy).await;
    fence(&mut world, &["--factors", "reset"]).await;
    let api = world.api(Transport::Http);
    world.advance(QUARANTINE);
    let token = ann.mfa_token(&api).await;
    api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
    api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.refused(&WRONG_RECOVERY_CODE);
    ann.enrol(&world, &api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_cannot_believe_the_trail_changes_nothing() {
    let mut world = World::start(Store::Sqlite, Tenant::default()).await;
    world.enrolled(&world.api(Transport::Http), "ann").await;
    let copy = back_up(&mut world).await;
    world.enrolled(&world.api(Transport::Http), "bob").await;
    let export = exported(&world).await;
    put_back(&mut world, &copy).await;
    let text = std::fs::read_to_string(&export).unwrap();
    let cut: String = text.split_inclusive('\n').take(2).collect();
    for (bad, why) in
        [(text.replace("bob", "eve").replace("enrollment.completed", "login.otp"), ", line "), (cut, "says nothing")]
    {
        std::fs::write(&export, bad).unwrap();
        let refused = world.command(&["fence", "--audit", &export]).await;
        assert!(refused.code == 65 && refused.err.contains(why), "{refused:?}");
        world.try_start_again().await.unwrap_err();
    }
    let moved = world.command(&["fence", "--moved"]).await;
    assert!(moved.code == 65 && moved.err.contains("It was not only moved: it is older than"), "{moved:?}");
    world.try_start_again().await.unwrap_err();
    // The same trail fits once: after that, the database has gone another way.
    std::fs::write(&export, text).unwrap();
    fence(&mut world, &["--audit", &export]).await;
    world.stop().await;
    let again = world.command(&["fence", "--audit", &export]).await;
    assert!(again.code == 65 && again.err.contains("it is another trail"), "{again:?}");
    world.try_start_again().await.unwrap();
}
