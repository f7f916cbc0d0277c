#![allow(clippy::unwrap_used)]

use std::task::{Context, Poll, Waker};

use super::*;
use crate::entropy::SystemEntropy;

fn pepper(last: &str) -> Pepper {
    Pepper::derive(&MasterKey::parse(&format!("{}{last}", "01".repeat(31))).unwrap()).unwrap()
}

fn hasher_with(pepper: Pepper) -> Argon2Hasher {
    let params = HashParams::new(32, 1, 1).unwrap();
    let options = HasherOptions { params, max_wait: Duration::from_secs(60), ..HasherOptions::new(pepper) };
    Argon2Hasher::new(options, Arc::new(SystemEntropy::new())).unwrap()
}

fn hasher() -> Argon2Hasher {
    hasher_with(pepper("02"))
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn check(hasher: &Argon2Hasher, stored: &PasswordHash, password: &str) -> PasswordVerdict {
    hasher.verify(Some(stored.clone()), secret(password), &Presence::default()).await.unwrap()
}

#[tokio::test]
async fn accepts_the_right_password_and_no_other() {
    let hasher = hasher();
    let stored = hasher.hash(secret("correct horse")).await.unwrap();
    assert_eq!(check(&hasher, &stored, "correct horse").await, PasswordVerdict::Right);
    for wrong in ["", "correct hors", "correct horse ", "Correct horse", "correct\0horse"] {
        assert_eq!(check(&hasher, &stored, wrong).await, PasswordVerdict::Wrong, "{wrong}");
    }
}

#[tokio::test]
async fn salts_every_hash_and_stores_nothing_of_the_password() {
    let hasher = hasher();
    let one = hasher.hash(secret("correct horse")).await.unwrap();
    let two = hasher.hash(secret("correct horse")).await.unwrap();
    assert_ne!(one.as_str(), two.as_str());
    assert!(one.as_str().starts_with("$cs1$"));
    assert!(one.as_str().contains("$argon2id$v=19$m=32,t=1,p=1$"));
    assert!(!one.as_str().contains("horse"));
}

#[tokio::test]
async fn composed_and_decomposed_accents_are_the_same_password() {
    let hasher = hasher();
    let stored = hasher.hash(secret("caf\u{e9} \u{c5}ngstr\u{f6}m")).await.unwrap();
    assert_eq!(check(&hasher, &stored, "cafe\u{301} A\u{30a}ngstro\u{308}m").await, PasswordVerdict::Right);
    assert_eq!(check(&hasher, &stored, "cafe Angstrom").await, PasswordVerdict::Wrong);
    // NFC, not NFKC: a ligature is not its letters.
    let stored = hasher.hash(secret("\u{fb01}sh")).await.unwrap();
    assert_eq!(check(&hasher, &stored, "fish").await, PasswordVerdict::Wrong);
}

#[tokio::test]
async fn every_byte_of_a_long_password_matters() {
    let hasher = hasher();
    let long = "x".repeat(200);
    let stored = hasher.hash(secret(&long)).await.unwrap();
    assert_eq!(check(&hasher, &stored, &long).await, PasswordVerdict::Right);
    for at in [71, 72, 128, 150, 199] {
        let mut other = long.clone();
        other.replace_range(at..=at, "y");
        assert_eq!(check(&hasher, &stored, &other).await, PasswordVerdict::Wrong, "byte {at}");
    }
    assert_eq!(check(&hasher, &stored, &long[..150]).await, PasswordVerdict::Wrong);
}

#[tokio::test]
async fn an_unknown_user_costs_as_many_hashes_as_a_known_one() {
    let hasher = hasher();
    let stored = hasher.hash(secret("correct horse")).await.unwrap();
    let before = hasher.hashes_run();
    check(&hasher, &stored, "wrong").await;
    let known = hasher.hashes_run() - before;
    let verdict = hasher.verify(None, secret("wrong"), &Presence::default()).await.unwrap();
    assert_eq!(verdict, PasswordVerdict::Wrong);
    assert_eq!(hasher.hashes_run() - before - known, known);
    assert_eq!(known, 1);
}

#[tokio::test]
async fn another_pepper_is_noticed_before_any_work() {
    let stored = hasher().hash(secret("correct horse")).await.unwrap();
    let other = hasher_with(pepper("03"));
    let answer = other.verify(Some(stored), secret("correct horse"), &Presence::default()).await;
    assert!(matches!(answer, Err(PortError::Corrupt(_))));
    assert_eq!(other.hashes_run(), 0);
}

#[tokio::test]
async fn without_the_pepper_the_stored_mac_is_not_the_hash() {
    let hasher = hasher();
    let stored = hasher.hash(secret("correct horse")).await.unwrap();
    let verifier = Verifier::parse(stored.as_str()).unwrap();
    let mut output = [0; 32];
    argon2id_raw(&mut HashMemory::new(), hasher.params, b"correct horse", &verifier.recipe.salt, &mut output).unwrap();
    assert_ne!(verifier.mac, output);
    assert_eq!(verifier.mac, hasher.pepper.mac(&output));
    assert_ne!(verifier.mac, pepper("03").mac(&output));
}

#[tokio::test]
async fn damaged_verifiers_are_reported() {
    for text in ["", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMa"] {
        let answer = hasher().verify(Some(PasswordHash::new(text.to_owned())), secret("x"), &Presence::default()).await;
        assert!(matches!(answer, Err(PortError::Corrupt(_))), "{text}");
    }
}

#[tokio::test]
async fn imported_hashes_verify() {
    let hasher = hasher();
    let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    assert_eq!(check_phc(&secret(phc)), Ok(()));
    let stored = hasher.import(&secret(phc)).unwrap();
    assert!(!stored.as_str().contains("CTFhFdXP"));
    assert_eq!(check(&hasher, &stored, "password").await, PasswordVerdict::Right);
    assert_eq!(check(&hasher, &stored, "Password").await, PasswordVerdict::Wrong);
}

#[test]
fn weak_and_foreign_hashes_are_not_imported() {
    for (phc, why) in [
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", PhcError::TooWeak),
        ("$argon2id$v=19$m=19455,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", PhcError::TooWeak),
        (
            "$argon2i$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            PhcError::NotArgon2id,
        ),
        ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR", PhcError::NotArgon2id),
        ("$argon2id$v=19$x", PhcError::NotArgon2id),
        ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", PhcError::NotArgon2id),
        ("correct horse", PhcError::NotArgon2id),
    ] {
        let error = hasher().import(&secret(phc)).unwrap_err();
        assert!(matches!(error, PortError::Corrupt(_)), "{phc}");
        assert!(!format!("{error:?} {error}").contains("nf65"), "{phc}");
        assert_eq!(check_phc(&secret(phc)), Err(why), "{phc}");
    }
}

#[tokio::test]
async fn too_many_at_once_are_refused_and_never_hashed_cheaper() {
    let options = HasherOptions {
        threads: NonZeroUsize::MIN,
        queue: 1,
        params: HashParams::new(4096, 2, 1).unwrap(),
        max_wait: Duration::from_secs(60),
        pepper: pepper("02"),
    };
    let hasher = Argon2Hasher::new(options, Arc::new(SystemEntropy::new())).unwrap();
    let (mut refused, mut done, mut waiting) = (0, Vec::new(), Vec::new());
    // 64 calls arrive within a fraction of the time one hash takes: one runs, one waits, hardly another is let in.
    for _ in 0..64 {
        let mut call = hasher.hash(secret("correct horse"));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(PortError::Overloaded)) => refused += 1,
            // This thread was kept waiting for so long that the other one is done.
            Poll::Ready(answer) => done.push(answer),
            Poll::Pending => waiting.push(call),
        }
    }
    for call in waiting {
        done.push(call.await);
    }
    let served = done.len();
    for answer in done {
        assert!(answer.unwrap().as_str().contains("m=4096,t=2,p=1"));
    }
    assert!(refused > 0);
    assert_eq!(served + refused, 64);
    assert_eq!(hasher.hashes_run(), served as u64);
}

#[tokio::test]
async fn a_password_whose_sender_left_before_its_turn_is_not_hashed() {
    let options = HasherOptions {
        threads: NonZeroUsize::MIN,
        queue: 1,
        params: HashParams::new(32, 1, 1).unwrap(),
        max_wait: Duration::from_secs(60),
        pepper: pepper("02"),
    };
    let hasher = Argon2Hasher::new(options, Arc::new(SystemEntropy::new())).unwrap();
    // Its only thread is busy until it is told.
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let mut busy = Box::pin(hasher.pool.run(move |_| assert!(gate.recv().is_err())));
    assert!(busy.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    while hasher.waiting() > 0 {
        std::thread::yield_now();
    }
    let (waiter, presence) = Presence::of_caller();
    let mut waiting = hasher.verify(None, secret("wrong"), &presence);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiter);
    assert!(matches!(waiting.await, Err(PortError::Abandoned)));
    assert_eq!(hasher.waiting(), 0);
    drop(release);
    busy.await.unwrap();
    assert_eq!(hasher.hashes_run(), 0);
}

#[test]
fn debug_shows_no_key() {
    let hasher = hasher();
    assert_eq!(format!("{:?}", hasher.pepper), "Pepper");
    assert_eq!(
        format!("{hasher:?}"),
        "Argon2Hasher { params: HashParams { memory_kib: 32, passes: 1, lanes: 1 }, .. }"
    );
    let options = format!("{:?}", HasherOptions::new(pepper("02")));
    assert!(options.contains("pepper: Pepper }"), "{options}");
}
