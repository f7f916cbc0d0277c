#![allow(clippy::unwrap_used)]

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use countersign_domain::port::{
    PortError,
    fence_store::{Fence, Fenced, Lineage},
};
use tempfile::TempDir;

use super::*;

/// A database that is nothing but its mark.
struct Marked(AtomicU64);

#[async_trait]
impl FenceStore for Marked {
    async fn lineage(&self) -> Result<Lineage, PortError> {
        Ok(Lineage { id: "a".into(), mark: self.0.load(Ordering::SeqCst) })
    }

    async fn mark(&self) -> Result<Lineage, PortError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.lineage().await
    }

    async fn settle(&self) -> Result<bool, PortError> {
        Ok(self.0.load(Ordering::SeqCst).is_multiple_of(2))
    }

    async fn fence(&self, _: Fence) -> Result<Fenced, PortError> {
        Ok(Fenced::default())
    }
}

struct Place {
    folder: TempDir,
    url: String,
}

fn place() -> Place {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    std::fs::write(&path, "").unwrap();
    Place { folder, url: format!("sqlite:{}", path.display()) }
}

impl Place {
    /// A server starts on a database that has this mark.
    async fn start(&self, mark: u64) -> anyhow::Result<Keeper> {
        Keeper::begin(&self.url, Arc::new(Marked(AtomicU64::new(mark)))).await
    }

    async fn refused(&self, mark: u64) -> Suspicion {
        self.start(mark).await.err().unwrap().downcast::<Refused>().unwrap().why
    }

    /// Puts something in the way of whatever is written next, or takes it away.
    fn obstruct(&self, way: fn(std::path::PathBuf) -> std::io::Result<()>) {
        for number in 0..100 {
            let staged = format!("a.db.fence.{}-{number}", std::process::id());
            way(self.folder.path().join(staged)).unwrap();
        }
    }

    fn recorded(&self) -> Option<Recorded> {
        FenceFile::of(&self.url).unwrap().read().unwrap()
    }
}

#[tokio::test]
async fn a_database_is_marked_before_its_file_is() {
    let place = place();
    let keeper = place.start(0).await.unwrap();
    assert_eq!(place.recorded().unwrap().mark, 1);
    keeper.mark().await.unwrap();
    assert_eq!(place.recorded().unwrap().mark, 2);
    // The power was lost between the two: the database has come farther.
    place.start(3).await.unwrap();
    assert_eq!(place.recorded().unwrap().mark, 4);
    assert_eq!(place.refused(3).await, Suspicion::Older);
}

#[tokio::test]
async fn what_is_settled_is_remembered_while_later_marks_are_not() {
    let place = place();
    let keeper = place.start(0).await.unwrap();
    let mut settled = Vec::new();
    for _ in 0..4 {
        settled.push(place.recorded().unwrap().settled);
        keeper.mark().await.unwrap();
    }
    assert_eq!(settled, [None, Some(2), Some(2), Some(4)]);
    place.start(5).await.unwrap();
    assert_eq!(place.recorded().unwrap().settled, Some(6));
    place.start(6).await.unwrap();
    assert_eq!(place.recorded().unwrap().settled, Some(6), "across a start");
}

#[tokio::test]
async fn the_first_mark_is_not_made_without_a_file() {
    let place = place();
    place.obstruct(std::fs::create_dir);
    let store = Arc::new(Marked(AtomicU64::new(0)));
    assert!(Keeper::begin(&place.url, Arc::clone(&store) as _).await.is_err());
    assert_eq!(store.0.load(Ordering::SeqCst), 0, "it would be refused from now on");
    place.obstruct(std::fs::remove_dir);
    Keeper::begin(&place.url, store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_on_a_new_database_all_start() {
    for _ in 0..20 {
        let place = place();
        let store = Arc::new(Marked(AtomicU64::new(0)));
        let begin = |_| {
            let (url, store) = (place.url.clone(), Arc::clone(&store));
            tokio::spawn(async move { Keeper::begin(&url, store as _).await })
        };
        for started in (0..8).map(begin).collect::<Vec<_>>() {
            started.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_mark_that_the_file_does_not_get_is_an_error_and_the_next_one_makes_up_for_it() {
    let place = place();
    let keeper = place.start(0).await.unwrap();
    place.obstruct(std::fs::create_dir);
    keeper.mark().await.unwrap_err();
    assert_eq!(place.recorded().unwrap().mark, 1);
    place.obstruct(std::fs::remove_dir);
    keeper.mark().await.unwrap();
    assert_eq!(place.recorded().unwrap().mark, 3);
}

#[tokio::test]
async fn what_takes_the_place_of_a_database_under_its_server_is_not_blessed() {
    let place = place();
    let keeper = place.start(0).await.unwrap();
    let copy = place.folder.path().join("copy.db");
    std::fs::copy(place.folder.path().join("a.db"), &copy).unwrap();
    std::fs::rename(copy, place.folder.path().join("a.db")).unwrap();
    keeper.mark().await.unwrap();
    assert_eq!(place.refused(9).await, Suspicion::Moved);
}

#[tokio::test]
async fn an_older_copy_that_is_written_over_a_database_under_its_server_is_not_blessed() {
    let place = place();
    let store = Arc::new(Marked(AtomicU64::new(0)));
    let keeper = Keeper::begin(&place.url, Arc::clone(&store) as _).await.unwrap();
    for _ in 0..3 {
        keeper.mark().await.unwrap();
    }
    store.0.store(1, Ordering::SeqCst);
    for _ in 0..5 {
        assert!(keeper.mark().await.unwrap_err().is::<PutBack>());
        assert_eq!((store.0.load(Ordering::SeqCst), place.recorded().unwrap().mark), (1, 4));
    }
    store.0.store(9, Ordering::SeqCst);
    assert!(keeper.mark().await.is_err(), "whatever comes later");
    assert_eq!(place.refused(3).await, Suspicion::Older);
}

#[tokio::test]
async fn the_file_is_its_owners_and_a_damaged_one_is_not_believed() {
    let place = place();
    place.start(0).await.unwrap();
    let file = place.folder.path().join("a.db.fence");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "{").unwrap();
    let error = format!("{:#}", place.start(1).await.err().unwrap());
    assert!(error.contains("a.db.fence is damaged"), "{error}");
    std::fs::remove_file(file).unwrap();
    assert_eq!(place.refused(1).await, Suspicion::Unremembered);
}

#[tokio::test]
async fn a_refusal_says_what_was_seen_and_what_to_do() {
    let place = place();
    let error = format!("{:#}", place.start(5).await.err().unwrap());
    for part in
        ["it was served before, but there is no ", "a.db.fence", "`countersign fence`", "`countersign fence --moved`"]
    {
        assert!(error.contains(part), "{error}");
    }
}
