//! The disk of the durable store is full.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use countersign_tests::{
    api::Transport,
    dump,
    refusal::{Refused as _, STORE_DOWN},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use tempfile::TempDir;

/// A small disk of one's own. Unmounted when dropped.
struct Disk {
    place: TempDir,
}

impl Disk {
    fn mount() -> Self {
        let place = TempDir::new().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(place.path()).status();
        assert!(status.unwrap().success(), "this test mounts a small disk: run it as root");
        Self { place }
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

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_issued_and_nothing_is_lost() {
    for (transport, store) in [(Transport::Http, Store::Sqlite), (Transport::Grpc, Store::Redis)] {
        let disk = Disk::mount();
        let mut world = World::start_at(disk.path(), store, Tenant::default()).await;
        let mut api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let before = dump::audited(&world.database(), "login.otp", ann.id.as_str());
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
        assert_eq!(api.list(&manager).await.unwrap().len(), 2, "what is there can be read");
        assert_eq!(
            dump::audited(&world.database(), "login.otp", ann.id.as_str()) - before,
            issued,
            "each token has its commit"
        );

        std::fs::remove_file(ballast).unwrap();
        world.advance(3600);
        ann.log_in(&world, &api, &phone).await;
        world.restart().await;
        api = world.api(transport);
        assert_eq!(api.list(&ann.mfa_token(&api).await).await.unwrap().len(), 2, "nothing was lost");
        ann.log_in(&world, &api, &phone).await;
        drop(world);
    }
}
