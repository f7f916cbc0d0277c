//! What an exported trail says of the time after the backup.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use countersign_domain::{
    audit::{
        chain::{AuditChain, AuditRow},
        lost::Lost,
        verify::Head,
    },
    port::audit_store::AuditStore,
    time::Timestamp,
};

use crate::cli::{audit, exit::Failure};

/// What came after the backup, as far as it was exported.
pub(super) struct Evidence {
    /// What it means for people.
    pub lost: Lost,
    /// The number of the last row.
    pub last: i64,
    /// When that was.
    pub until: Timestamp,
}

/// Reads the export in `path`, which must go on from `restored`, the end of the trail in `store`, without a gap. Rows that the store has
/// may come first, and must be the same. Each later one is checked by its link, so that a line that somebody changed, added or took out is
/// refused.
///
/// # Errors
///
/// It cannot be read, is not of this trail, is broken, or does not go on; the line is named.
pub(super) async fn read(
    path: &Path,
    store: &dyn AuditStore,
    chain: &AuditChain,
    restored: Head,
) -> Result<Evidence, Failure> {
    let unreadable = |error| Failure::Data(format!("{} cannot be read: {error}", path.display()));
    let mut evidence = Evidence { lost: Lost::default(), last: restored.id, until: Timestamp::from_millis(0) };
    let mut link = restored.link;
    for (number, line) in BufReader::new(File::open(path).map_err(unreadable)?).lines().enumerate() {
        let wrong = |why: String| Failure::Data(format!("{}, line {}: {why}", path.display(), number + 1));
        let row = audit::exported::row(&line.map_err(unreadable)?).map_err(wrong)?;
        if row.id <= restored.id && evidence.last == restored.id {
            let page = store.list_rows(row.id.saturating_sub(1), 1).await.map_err(audit::unreadable)?;
            if page.first().map(|known| AuditRow { seal: None, ..known.clone() }).as_ref() != Some(&row) {
                return Err(wrong(format!("row {} of this database says something else: it is another trail", row.id)));
            }
            continue;
        }
        let next = evidence.last.saturating_add(1);
        if row.id != next {
            return Err(wrong(format!("it is row {}, and row {next} is missing before it", row.id)));
        }
        let expected = chain.link(&link, &row.content());
        if row.link != Some(expected) {
            return Err(wrong(format!("row {} was changed, moved or added, or has no link", row.id)));
        }
        evidence.lost.take(&row).map_err(|unclear| wrong(format!("row {} ({}): {unclear}", row.id, row.event)))?;
        (link, evidence.last, evidence.until) = (expected, row.id, evidence.until.max(row.at));
    }
    if evidence.last == restored.id {
        let what = "it says nothing of the time after the backup";
        return Err(Failure::Data(format!("{}: {what}, whose last row is {}", path.display(), restored.id)));
    }
    Ok(evidence)
}

#[cfg(test)]
mod tests;
