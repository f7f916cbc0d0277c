#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use countersign_crypto::{entropy::SystemEntropy, master_key::MasterKey, sealer::AeadSealer};
use countersign_domain::{
    audit::{
        AuditEvent, Event,
        chain::{AuditRow, NOTHING},
        lost::Change,
    },
    id::UserId,
    port::PortError,
};
use std::sync::Arc;

use super::*;
use crate::cli::audit::show::Columns as _;

struct Rows(Vec<AuditRow>);

#[async_trait]
impl AuditStore for Rows {
    async fn list_rows(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>, PortError> {
        Ok(self.0.iter().filter(|row| row.id > after).take(limit).cloned().collect())
    }

    async fn last_row(&self) -> Result<i64, PortError> {
        Ok(self.0.last().map_or(0, |row| row.id))
    }
}

fn chain() -> AuditChain {
    let master = MasterKey::parse("a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE=").unwrap();
    AuditChain::new(Arc::new(AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap()))
}

/// A trail of six rows; the database that was put back has the first three.
fn trail() -> Vec<AuditRow> {
    use Event::{OtpLogin, PasswordLogin, PasswordSet, RecoveryLogin, TrailStarted, UserAdded};
    let mut previous = NOTHING;
    let rows = [TrailStarted, UserAdded, PasswordLogin, OtpLogin, RecoveryLogin, PasswordSet].iter().zip(1..);
    rows.map(|(event, id)| {
        let event = AuditEvent::about(*event, &UserId::new("auth0|ann"), Timestamp::from_millis(1000 * id));
        let row = AuditRow::unlinked(id, &event);
        previous = chain().link(&previous, &row.content());
        AuditRow { link: Some(previous), ..row }
    })
    .collect()
}

async fn read_lines(lines: &[String]) -> Result<Evidence, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.jsonl");
    std::fs::write(&path, lines.concat()).unwrap();
    let known = trail()[..3].to_vec();
    let head = Head { id: 3, link: known[2].link.unwrap() };
    read(&path, &Rows(known), &chain(), head).await.map_err(|failure| failure.to_string())
}

fn lines(rows: &[AuditRow]) -> Vec<String> {
    rows.iter().map(|row| row.json() + "\n").collect()
}

/// What is complained of.
async fn complaint(lines: &[String]) -> String {
    read_lines(lines).await.err().unwrap()
}

#[tokio::test]
async fn what_goes_on_where_the_backup_ends_is_read() {
    // What the backup has may come first, from whatever time on.
    for first in [&[0, 1, 2][..], &[0, 2], &[2], &[]] {
        let chosen: Vec<_> = first.iter().chain(&[3, 4, 5]).map(|at| trail()[*at].clone()).collect();
        let evidence = read_lines(&lines(&chosen)).await.unwrap();
        assert_eq!((evidence.last, evidence.until), (6, Timestamp::from_millis(6000)));
        let ann = &evidence.lost.people[&UserId::new("auth0|ann")];
        assert_eq!(ann.changes, [Change::Factors, Change::Password].into());
    }
}

#[tokio::test]
async fn what_the_backup_has_itself_says_nothing_of_what_came_after() {
    let recovered = trail()[1..5].to_vec();
    assert!(read_lines(&lines(&recovered)).await.is_ok());
    for none in [&trail()[..3], &trail()[..2], &[]] {
        let complaint = complaint(&lines(none)).await;
        assert!(
            complaint.ends_with("it says nothing of the time after the backup, whose last row is 3"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_gap_is_refused_wherever_it_is() {
    let all = trail();
    for (rows, line, missing) in
        [(vec![4, 5], 1, 4), (vec![3, 5], 2, 5), (vec![3, 4, 4], 3, 6), (vec![3, 0], 2, 5), (vec![5, 4, 3], 1, 4)]
    {
        let chosen: Vec<_> = rows.iter().map(|at| all[*at].clone()).collect();
        let complaint = complaint(&lines(&chosen)).await;
        assert!(
            complaint.contains(&format!("line {line}: ")) && complaint.contains(&format!("row {missing} is missing")),
            "{rows:?}: {complaint}"
        );
    }
}

#[tokio::test]
async fn a_row_that_was_changed_is_refused_by_its_line() {
    for (at, row) in [(0, 1), (3, 4), (5, 6)] {
        let mut changed = trail();
        changed[at].user = "auth0|eve".into();
        let complaint = complaint(&lines(&changed)).await;
        assert!(complaint.contains(&format!("line {}: row {row} ", at + 1)), "{complaint}");
    }
    let mut unlinked = trail();
    unlinked[4].link = None;
    assert!(complaint(&lines(&unlinked)).await.contains("line 5: row 5 was changed, moved or added, or has no link"));
}

#[tokio::test]
async fn a_trail_made_without_the_key_is_refused() {
    let mut made = trail();
    made[5].event = Event::OtpLogin.as_str().to_owned();
    made[5].link = made[4].link;
    assert!(complaint(&lines(&made)).await.contains("line 6: row 6"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_line() {
    let mut torn = lines(&trail());
    torn[4].replace_range(30.., "\n");
    assert!(complaint(&torn).await.contains("line 5: it is no row of an export"));
    let empty = vec!["\n".to_owned()];
    assert!(complaint(&empty).await.contains("line 1: it is no row of an export"));
}
