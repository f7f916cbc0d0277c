//! Links of notices.

use std::sync::Arc;

use countersign_domain::{
    id::UserId,
    port::{
        login_store::{
            CommitOutcome::{Committed, ProofSpent},
            LoginCommit, NewRepudiation,
        },
        repudiation_store::{Redemption, Repudiation},
    },
    time::Timestamp,
};

use super::{
    messages::taken,
    race,
    records::{
        NOW, account, add_user, audit, authenticator_id, confirm, confirm_oob, digest, enroll, enrollment, later,
        login, message, pair_enrollment,
    },
};
use crate::open::Stores;

const LIFETIME: u64 = 600;

fn link(n: usize) -> NewRepudiation {
    NewRepudiation { digest: digest(600 + n), authenticator: authenticator_id(n), expires_at: later(LIFETIME) }
}

/// Enrols and confirms the `n`th authenticator, with the `n`th link.
async fn enroll_with_link(stores: &Stores, user: &UserId, n: usize) {
    stores.authenticators.begin_enrollment(enrollment(user, n), NOW).await.unwrap();
    let commit = LoginCommit { repudiation: Some(link(n)), ..login(user, confirm(n, false)) };
    assert_eq!(stores.logins.commit(commit).await.unwrap(), Committed);
}

fn redemption(user: &UserId, n: usize, now: Timestamp) -> Redemption {
    Redemption { digest: digest(600 + n), now, messages: vec![message(n)], audit: audit(user) }
}

/// It removes, ends what is in flight, and leaves its messages; a second time it is not there.
pub async fn a_link_reads_back_and_is_spent_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    let found = stores.repudiations.find(&digest(601)).await.unwrap();
    let expected = Repudiation { user: user.clone(), authenticator: authenticator_id(1), expires_at: later(LIFETIME) };
    assert_eq!(found, Some(expected));
    assert!(stores.repudiations.find(&digest(602)).await.unwrap().is_none());
    assert!(!stores.repudiations.redeem(redemption(&user, 2, NOW)).await.unwrap());

    assert!(stores.repudiations.redeem(redemption(&user, 1, later(5))).await.unwrap());
    let read = account(stores, &user).await;
    assert!(read.authenticators.is_empty() && read.recovery_code.is_none());
    assert_eq!((read.user.epoch, read.user.tokens_valid_from, read.user.updated_at), (1, later(5), later(5)));
    assert!(!stores.repudiations.redeem(redemption(&user, 1, later(6))).await.unwrap());
    assert!(stores.repudiations.find(&digest(601)).await.unwrap().is_none());
    assert_eq!(account(stores, &user).await.user.epoch, 1);
    assert_eq!(taken(stores).await, [1]);
}

/// At the moment it expires it is of no use any more.
pub async fn a_link_that_expired_removes_nothing(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    assert!(!stores.repudiations.redeem(redemption(&user, 1, later(LIFETIME))).await.unwrap());
    let read = account(stores, &user).await;
    assert_eq!((read.authenticators.len(), read.user.epoch), (1, 0));
    assert!(taken(stores).await.is_empty());
    assert!(stores.repudiations.redeem(redemption(&user, 1, later(LIFETIME - 1))).await.unwrap());
}

/// A confirmation that is refused leaves none.
pub async fn a_link_comes_with_its_confirmation_alone(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    stores.authenticators.begin_enrollment(enrollment(&user, 2), NOW).await.unwrap();
    let commit = LoginCommit { repudiation: Some(link(2)), ..login(&user, confirm(2, true)) };
    assert_eq!(stores.logins.commit(commit).await.unwrap(), ProofSpent);
    assert!(stores.repudiations.find(&digest(602)).await.unwrap().is_none());
}

/// However it went, and one that is enrolled later under another id is not touched.
pub async fn a_link_goes_with_its_authenticator(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    assert!(
        stores.authenticators.delete(&user, &authenticator_id(1), None, Vec::new(), audit(&user)).await.unwrap(),
        "it is removed"
    );
    assert!(stores.repudiations.find(&digest(601)).await.unwrap().is_none());
    assert!(!stores.repudiations.redeem(redemption(&user, 1, NOW)).await.unwrap());
    let bob = add_user(stores, "bob").await;
    enroll_with_link(stores, &bob, 3).await;
    stores.users.reset_factors(&bob, NOW, Vec::new(), audit(&bob)).await.unwrap();
    assert!(!stores.repudiations.redeem(redemption(&bob, 3, NOW)).await.unwrap());
    assert!(taken(stores).await.is_empty());
}

/// What was enrolled together goes together; the recovery code stays as long as another authenticator does.
pub async fn a_link_removes_the_pair_and_leaves_the_others(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 2), NOW).await.unwrap();
    let commit = LoginCommit { repudiation: Some(link(2)), ..login(&user, confirm_oob(2, 50)) };
    assert_eq!(stores.logins.commit(commit).await.unwrap(), Committed);
    assert!(stores.repudiations.redeem(redemption(&user, 2, NOW)).await.unwrap());
    let read = account(stores, &user).await;
    assert_eq!(read.authenticators.iter().map(|a| a.id.clone()).collect::<Vec<_>>(), [authenticator_id(1)]);
    assert!(read.usable_recovery_code().is_some());
}

/// 64 at once, each with a message of its own: one is left.
pub async fn one_link_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    let won = race(64, |n| {
        let (repudiations, user) = (Arc::clone(&stores.repudiations), user.clone());
        async move {
            let redemption = Redemption { messages: vec![message(n)], ..redemption(&user, 1, NOW) };
            repudiations.redeem(redemption).await.unwrap()
        }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(taken(stores).await.len(), 1);
    assert_eq!(account(stores, &user).await.user.epoch, 1);
}

/// The owner removes it while the link does: it is told of once.
pub async fn a_removal_and_a_link_do_not_cross(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    let won = race(32, |n| {
        let (stores, user) = (stores.clone(), user.clone());
        async move {
            if n % 2 == 0 {
                let redemption = Redemption { messages: vec![message(n)], ..redemption(&user, 1, NOW) };
                stores.repudiations.redeem(redemption).await.unwrap()
            } else {
                let messages = vec![message(n)];
                stores.authenticators.delete(&user, &authenticator_id(1), None, messages, audit(&user)).await.unwrap()
            }
        }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(taken(stores).await.len(), 1);
}

/// Expired ones, and no others.
pub async fn a_purge_takes_expired_links(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_with_link(stores, &user, 1).await;
    stores.logins.purge(later(LIFETIME - 1)).await.unwrap();
    assert!(stores.repudiations.find(&digest(601)).await.unwrap().is_some());
    assert_eq!(stores.logins.purge(later(LIFETIME)).await.unwrap(), 1);
    assert!(stores.repudiations.find(&digest(601)).await.unwrap().is_none());
    assert_eq!(account(stores, &user).await.authenticators.len(), 1, "what it would have removed stays");
}
