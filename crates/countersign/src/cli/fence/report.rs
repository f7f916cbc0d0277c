//! What a fence did, and what remains to be done.

use std::collections::BTreeSet;

use countersign_domain::{
    audit::lost::Change,
    id::UserId,
    port::{fence_store::Fenced, user_store::UserStore},
    time::Timestamp,
};

use super::{Everybodys, Evidence, Restored, Way};
use crate::cli::{audit, exit::Failure, run};

/// What there is to say.
pub(super) struct Report<'a> {
    pub restored: &'a Restored,
    pub evidence: Option<&'a Evidence>,
    pub way: &'a Way,
    pub done: &'a Fenced,
    /// When the last step is over that counts as used.
    pub ends: Timestamp,
}

impl Report<'_> {
    /// Says it.
    ///
    /// # Errors
    ///
    /// The store failed, after everything was done.
    pub(super) async fn print(&self, users: &dyn UserStore) -> Result<(), Failure> {
        let Fenced { accounts, families, apps, recovery_codes, authenticators, messages } = self.done;
        run::print("The database is fenced and may be served.");
        run::print(&format!(
            "backup\tits trail ends at {} of {}",
            self.restored.name(),
            self.restored.until.to_rfc3339()
        ));
        if let Some(Evidence { last, until, .. }) = self.evidence {
            run::print(&format!("export\tgoes on to row {last} of {}", until.to_rfc3339()));
        }
        run::print(&format!("ended\twhat {accounts} accounts had in flight"));
        run::print(&format!("revoked\t{families} refresh tokens and remembered devices"));
        run::print(&format!("dropped\t{messages} messages that waited"));
        run::print(&format!("paused\t{apps} authenticator apps, until {}", self.ends.to_rfc3339()));
        run::print(&format!("removed\t{authenticators} authenticators, {recovery_codes} recovery codes"));
        if let Some(evidence) = self.evidence {
            for (user, forgotten) in &evidence.lost.people {
                person(users, user, &forgotten.changes).await?;
            }
        }
        self.remains();
        Ok(())
    }

    fn remains(&self) {
        let all = [
            Some("users that were added after the backup are gone"),
            self.restored.end.is_err().then_some("its audit trail was broken before, and `countersign audit verify` says so from now on"),
            self.evidence.is_none().then_some("passwords that were changed and accounts that were blocked after the backup: do it again"),
            (self.way.factors == Some(Everybodys::Keep)).then_some(
                "authenticators that were removed after the backup work again; whoever has no recovery code is given one with the next \
                 authenticator they enrol",
            ),
            self.evidence.is_none().then_some(
                "signing keys and data keys that were made, retired or dropped after the backup: `countersign keys list`; if one was \
                 retired because it is known to others, `countersign keys emergency`",
            ),
            self.evidence.map(|_| "what happened after the last row of the export is not known"),
        ];
        for line in all.into_iter().flatten() {
            run::print(&format!("remains\t{line}"));
        }
        for change in self.evidence.map(|evidence| &evidence.lost.keys).into_iter().flatten() {
            run::print(&format!("remains\tthe backup does not have this change of keys: {change}"));
        }
    }
}

/// What was done to one person, a line each.
async fn person(users: &dyn UserStore, id: &UserId, changes: &BTreeSet<Change>) -> Result<(), Failure> {
    let Some(account) = users.find(id).await.map_err(audit::unreadable)? else {
        run::print(&format!("gone\t{id}\tcame after the backup"));
        return Ok(());
    };
    let name = format!("{id}\t{} of {}", account.user.username, account.user.realm);
    for change in changes {
        let (done, why) = match change {
            Change::Factors => {
                ("reset", "factors or a recovery code were changed or used, or an operator blocked the account")
            }
            Change::Password => {
                ("blocked", "the password was changed: `countersign user passwd`, then `countersign user unblock`")
            }
            Change::Block => ("blocked", "an operator had blocked the account"),
            Change::Addresses => ("look at", "where notices go was changed: `countersign user notify`"),
        };
        run::print(&format!("{done}\t{name}\t{why}"));
    }
    Ok(())
}
