//! The grace period for enrolment, which everybody has once.

use std::sync::Arc;

use countersign_domain::port::login_store::{Burn, CommitOutcome, LoginCommit};

use super::race;
use super::records::{NOW, account, add_user, audit, enroll, later, login, open};
use crate::{contract::records::family, open::Stores};

/// It begins with the login that says so, and nothing that comes later moves it: no other login, no reset, no new factor.
pub async fn grace_begins_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    assert_eq!(account(stores, &user).await.user.told_at, None);
    let telling = |now, epoch| LoginCommit { begins_grace: true, now, epoch, ..login(&user, Burn::Nothing) };
    assert_eq!(stores.logins.commit(telling(later(1), 9)).await.unwrap(), CommitOutcome::AccountChanged);
    assert_eq!(account(stores, &user).await.user.told_at, None, "what was refused told nobody");
    assert_eq!(stores.logins.commit(telling(later(2), 0)).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(stores.logins.commit(telling(later(3), 0)).await.unwrap(), CommitOutcome::ToldBefore);
    enroll(stores, &user, 1).await;
    assert_eq!(stores.users.reset_factors(&user, later(4), Vec::new(), audit(&user)).await.unwrap(), Some(1));
    assert_eq!(stores.logins.commit(telling(later(5), 1)).await.unwrap(), CommitOutcome::ToldBefore);
    assert_eq!(account(stores, &user).await.user.told_at, Some(later(2)));
}

/// Who confirmed a factor counts as told, so that a reset gives nobody a first grace period.
pub async fn who_had_a_factor_was_told(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(account(stores, &user).await.user.told_at, Some(NOW));
    stores.users.reset_factors(&user, later(4), Vec::new(), audit(&user)).await.unwrap();
    let telling = LoginCommit { begins_grace: true, now: later(5), epoch: 1, ..login(&user, Burn::Nothing) };
    assert_eq!(stores.logins.commit(telling).await.unwrap(), CommitOutcome::ToldBefore);
    assert_eq!(account(stores, &user).await.user.told_at, Some(NOW));
}

/// A login that is refused because its person was told before leaves nothing behind.
pub async fn a_login_that_tells_twice_leaves_everything(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let telling = LoginCommit { begins_grace: true, ..open(family(&user, 1)) };
    assert_eq!(stores.logins.commit(telling).await.unwrap(), CommitOutcome::ToldBefore);
    assert!(stores.refresh.find_family(&family(&user, 1).id).await.unwrap().is_none());
}

/// Thirty-two first logins at once: one of them tells, and its time stands.
pub async fn one_of_many_first_logins_tells(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let outcomes = race(32, |n| {
        let (logins, user) = (Arc::clone(&stores.logins), user.clone());
        async move {
            let now = later(u64::try_from(n).unwrap());
            let telling = LoginCommit { begins_grace: true, now, ..login(&user, Burn::Nothing) };
            (now, logins.commit(telling).await.unwrap())
        }
    })
    .await;
    let told: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == CommitOutcome::Committed).collect();
    assert_eq!(told.len(), 1);
    assert!(outcomes.iter().filter(|(_, outcome)| *outcome == CommitOutcome::ToldBefore).count() == 31);
    assert_eq!(account(stores, &user).await.user.told_at, Some(told[0].0));
}
