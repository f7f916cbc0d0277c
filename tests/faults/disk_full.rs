//! The disk of the durable store is full.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use countersign_tests::{
    api::{Outcome, To, Transport},
    dump, otp,
    process::{DEMO_CLIENT, DEMO_PASSWORD, DemoProcess},
    refusal::{Refused as _, STORE_DOWN, WRONG_OTP},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use tempfile::TempDir;

/// A small disk of one's own. Unmounted when dropped.
struct Disk {
    place: TempDir,
}

impl Disk {
    /// `None` where mounting is not permitted.
    fn mount() -> Option<Self> {
        let place = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(place.path());
        mount.status().is_ok_and(|status| status.success()).then_some(Self { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Takes all the room there is; the file that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.place.path()).status();
    }
}

/// Waits until `/readyz` answers `status`.
async fn until_ready(world: &World, status: u16) {
    let url = format!("http://{}/readyz", world.server().ops());
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        ticks.tick().await;
        if countersign_tests::http::plain_client().get(&url).send().await.unwrap().status() == status {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_issued_and_nothing_is_lost() {
    for (transport, store) in [(Transport::Http, Store::Sqlite), (Transport::Grpc, Store::Redis)] {
        let Some(disk) = Disk::mount() else {
            println!("only root may mount a small disk: files that cannot grow have to do");
            return nothing_is_issued_while_no_file_can_grow().await;
        };
        let mut world = World::start_at(disk.path(), store, Tenant::default().with_messages()).await;
        let mut api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let lasting = ann.lasting(&world, &api, &phone).await;
        let (texted, sms) = (world.person("tess").await, To::Phone("sms", NUMBER));
        texted.enrol_oob(&world, &api, sms).await;
        let waiting = texted.mfa_token(&api).await;
        let before = dump::audited(&world.database(), "login.otp", ann.id.as_str());
        world.notices().await;
        let ballast = disk.fill();

        // The log may have a little room of its own that was written before; it is used up by trying.
        let mut issued = 0;
        let mut refusal = None;
        let mut token = pending;
        for _ in 0..20_000 {
            match api.otp(BACKEND, &token, &phone.code(&world)).await {
                Ok(_) => issued += 1,
                Err(refused) => {
                    refusal = Some(refused);
                    break;
                }
            }
            match ann.password(&api).await {
                Ok(outcome) => token = outcome.mfa_token(),
                Err(refused) => {
                    refusal = Some(refused);
                    break;
                }
            }
        }
        let refusal = refusal.expect("a full disk is noticed");
        assert!(refusal.is(&STORE_DOWN), "{refusal:?}");
        assert!(refusal.retry_after().is_some());
        api.associate(&manager).await.refused(&STORE_DOWN);
        api.refresh(BACKEND, lasting.refresh(), None).await.refused(&STORE_DOWN);
        api.revoke(BACKEND, lasting.refresh()).await.refused(&STORE_DOWN);
        for _ in 0..12 {
            let unsent = api.send_code(BACKEND, &waiting, None, Some("sms"));
            world.sends_nothing(unsent, &STORE_DOWN).await;
        }
        assert_eq!(api.list(&manager).await.unwrap().len(), 3, "what is there can be read");
        assert_eq!(
            dump::audited(&world.database(), "login.otp", ann.id.as_str()) - before,
            issued,
            "each token has its commit"
        );

        until_ready(&world, 503).await;
        std::fs::remove_file(ballast).unwrap();
        until_ready(&world, 200).await;
        world.sent(api.send_code(BACKEND, &waiting, None, Some("sms"))).await;
        api.refresh(BACKEND, lasting.refresh(), None).await.expect("neither exchanged nor revoked");
        world.advance(3600);
        ann.log_in(&world, &api, &phone).await;
        texted.log_in_over(&world, &api, "sms").await;
        world.restart().await;
        api = world.api(transport);
        assert_eq!(api.list(&ann.mfa_token(&api).await).await.unwrap().len(), 3, "nothing was lost");
        ann.log_in(&world, &api, &phone).await;
        drop(world);
    }
}

/// The same without mounting: a process of its own whose files the system does not let grow. To the store this is a disk that
/// takes no more.
async fn nothing_is_issued_while_no_file_can_grow() {
    for transport in [Transport::Http, Transport::Grpc] {
        let folder = TempDir::new().unwrap();
        let database = folder.path().join("countersign.db");
        let demo = DemoProcess::start(folder.path(), 3).await;
        let api = demo.api(transport).await;
        let password = async |name: &str| api.login(DEMO_CLIENT, name, DEMO_PASSWORD).await.map(Outcome::mfa_token);
        let token = password("user00001").await.unwrap();
        let secret = api.associate(&token).await.unwrap().secret;
        let step = otp::real_step();
        api.otp(DEMO_CLIENT, &token, &otp::code_of(&secret, step)).await.unwrap();
        let pending = password("user00001").await.unwrap();
        let fresh = || otp::code_of(&secret, otp::real_step().max(step + 1));
        let before = dump::rows(&database, "audit");

        demo.limit_files(Some(1)).await;
        for _ in 0..3 {
            let refusal = api.otp(DEMO_CLIENT, &pending, &fresh()).await.refused(&STORE_DOWN);
            assert!(refusal.retry_after().is_some());
            password("user00002").await.refused(&STORE_DOWN);
            api.associate(&pending).await.unwrap_err();
        }
        assert_eq!(api.list(&pending).await.unwrap().len(), 2, "what is there can be read");
        assert_eq!(dump::rows(&database, "audit"), before, "nothing was written");

        demo.limit_files(None).await;
        let used = fresh();
        api.otp(DEMO_CLIENT, &pending, &used).await.expect("the refusals burnt neither the login nor the code");
        demo.kill().await;
        let demo = DemoProcess::start(folder.path(), 3).await;
        let api = demo.api(transport).await;
        let token = api.login(DEMO_CLIENT, "user00001", DEMO_PASSWORD).await.unwrap().mfa_token();
        assert_eq!(api.list(&token).await.unwrap().len(), 2, "nothing was lost");
        api.otp(DEMO_CLIENT, &token, &used).await.refused(&WRONG_OTP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_grow_issues_nothing_and_loses_nothing() {
    nothing_is_issued_while_no_file_can_grow().await;
}
