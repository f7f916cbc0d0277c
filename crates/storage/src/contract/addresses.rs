//! Codes that are sent to the verified address of a person, who has enrolled nothing for it.

use countersign_domain::{
    id::UserId,
    port::login_store::{
        Burn,
        CommitOutcome::{self, AccountChanged, Committed, ProofSpent, TransactionSpent},
        Failure, FailureTarget, LoginCommit,
    },
};

use super::records::{NOW, account, add_user, audit, later, login, login_with, new_user};
use crate::open::Stores;

async fn add(stores: &Stores, verified: bool) -> UserId {
    let mut new = new_user("ann", Some("ann@example.com"));
    new.user.email.as_mut().unwrap().verified = verified;
    let id = new.user.id.clone();
    stores.users.insert(vec![new]).await.unwrap();
    id
}

async fn commit(stores: &Stores, login: LoginCommit) -> CommitOutcome {
    stores.logins.commit(login).await.unwrap()
}

async fn fail(stores: &Stores, user: &UserId, ceiling: u32) -> u32 {
    let failure = Failure::new(FailureTarget::Address, ceiling, audit(user));
    stores.logins.count_failure(user, failure).await.unwrap();
    account(stores, user).await.user.address_failures
}

/// The success forgets the failures. The login's mark spends its code too, until it is swept; without a login nothing would.
pub async fn a_code_to_the_verified_address_is_used_once(stores: &Stores) {
    let user = add(stores, true).await;
    assert_eq!(fail(stores, &user, 100).await, 1);
    assert_eq!(fail(stores, &user, 100).await, 2);
    assert_eq!(commit(stores, login(&user, Burn::UseAddress)).await, ProofSpent, "of no login");
    assert_eq!(account(stores, &user).await.user.address_failures, 2, "a refusal changes nothing");
    assert_eq!(commit(stores, login_with(&user, 7, Burn::UseAddress)).await, Committed);
    assert_eq!(account(stores, &user).await.user.address_failures, 0);
    assert_eq!(fail(stores, &user, 100).await, 1);
    assert_eq!(commit(stores, login_with(&user, 7, Burn::UseAddress)).await, TransactionSpent);
    assert_eq!(account(stores, &user).await.user.address_failures, 1, "a refusal changes nothing");
    assert_eq!(commit(stores, login_with(&user, 8, Burn::UseAddress)).await, Committed);
    assert_eq!(stores.logins.purge(later(3599)).await.unwrap(), 0);
    assert_eq!(stores.logins.purge(later(3600)).await.unwrap(), 2);
}

/// Unverified, not there, of an account that changed, or of nobody.
pub async fn an_address_that_is_not_verified_proves_nothing(stores: &Stores) {
    let unverified = add(stores, false).await;
    let without = add_user(stores, "eve").await;
    let code = |user: &UserId| login_with(user, 7, Burn::UseAddress);
    for user in [&unverified, &without] {
        assert_eq!(commit(stores, code(user)).await, ProofSpent);
    }
    assert_eq!(commit(stores, code(&UserId::new("auth0|nobody"))).await, AccountChanged);
    stores.users.set_blocked(&unverified, true, NOW, audit(&unverified)).await.unwrap();
    assert_eq!(commit(stores, LoginCommit { epoch: 1, ..code(&unverified) }).await, AccountChanged);
}

/// What was in flight ends when the ceiling is reached, and not again with each further failure.
pub async fn failures_of_the_address_raise_the_epoch_at_the_ceiling(stores: &Stores) {
    let user = add(stores, true).await;
    for (failures, epoch) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        assert_eq!(fail(stores, &user, 3).await, failures);
        assert_eq!(account(stores, &user).await.user.epoch, epoch);
    }
    assert_eq!(commit(stores, login_with(&user, 7, Burn::UseAddress)).await, AccountChanged);
    assert!(account(stores, &user).await.authenticators.is_empty());
}
