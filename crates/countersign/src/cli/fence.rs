//! `fence`: makes a database that was put back from a backup fit to be served.

mod evidence;
mod report;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use countersign_crypto::entropy::SystemEntropy;
use countersign_domain::{
    audit::{
        AuditEvent, Event,
        chain::{AuditChain, AuditRow},
        lost::{Change, Forgotten, Lost},
        verify::{Broken, Head, Verifier},
    },
    factor::otp::step_at,
    id::UserId,
    port::{
        audit_store::AuditStore,
        clock::Clock,
        entropy::Entropy as _,
        fence_store::{Factors, Fence, Lineage, PersonFence},
    },
    time::Timestamp,
};
use data_encoding::HEXLOWER;

use self::{evidence::Evidence, report::Report};
use super::{audit, exit::Failure, run, target::Target};
use crate::{
    alone::{self, Company},
    config::check::Checked,
    fence::{FenceFile, Suspicion, judge, require_own_log},
    system, wire,
};

/// How long no code of an authenticator app is taken: longer than the clocks of any two servers and apps differ.
const QUARANTINE: std::time::Duration = std::time::Duration::from_secs(300);
/// Rows read in one step.
const PAGE: usize = 1000;

/// `fence`.
#[derive(Args, Debug)]
pub struct FenceCommand {
    /// How.
    #[command(flatten)]
    pub way: Way,
    /// Where.
    #[command(flatten)]
    pub target: Target,
}

/// What is known of the time after the backup.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Way {
    /// The whole trail, or all that came after the backup, as `countersign audit export` printed it. Whose factors, password or block
    /// were changed since is reset or blocked; everybody else keeps everything.
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Nothing is: keep everybody's authenticators and void all recovery codes, or reset everybody's factors.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub factors: Option<Everybodys>,
    /// It is no backup: the database was only moved, nothing in it is older than it was. Nothing is changed.
    #[arg(long)]
    pub moved: bool,
}

/// What becomes of everybody's factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Everybodys {
    /// Authenticators stay, those too that were removed since. Recovery codes are void.
    Keep,
    /// All are removed.
    Reset,
}

/// Does it, and says what was done and what remains.
///
/// # Errors
///
/// It could not be done; nothing was changed, and the database is not served before it is done.
pub async fn run(command: FenceCommand, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    let config = command.target.config()?;
    let url = &config.storage.url;
    if !alone::path_of(url).is_file() {
        return Err(Failure::Data(format!("There is no database at {}", alone::path_of(url).display())));
    }
    let _place = alone::at_store(url, Company::Alone)?;
    require_own_log(url)?;
    // What the database holds must open with this key-encryption key, or its trail would be sealed with another one.
    let keys = wire::keepers(&config, clock).await?.signing;
    keys.check().await.context(
        "the signing keys do not open; if this is not the key-encryption key of then, nothing here can be used. Nothing was changed",
    )?;
    drop(keys);
    if command.way.moved { moved(&config).await } else { fence(&config, command.way, clock.as_ref()).await }
}

async fn moved(config: &Checked) -> Result<(), Failure> {
    let store = wire::open_durable(config, &wire::audit_chain(config)?).await?.fence.ok_or_else(in_memory)?;
    let (file, found) = (FenceFile::of(&config.storage.url)?, store.lineage().await.map_err(audit::unreadable)?);
    match judge(file.read()?.as_ref(), &found, file.database()) {
        Err(why @ (Suspicion::Another | Suspicion::Older | Suspicion::Mixed)) => {
            let seen = file.refusal(why).seen();
            Err(Failure::Data(format!("It was not only moved: {seen}; use --audit or --factors. Nothing was changed")))
        }
        Ok(()) | Err(Suspicion::Moved | Suspicion::Unremembered) => {
            file.write(&found, None)?;
            run::print("The database may be served where it is.");
            Ok(())
        }
    }
}

async fn fence(config: &Checked, way: Way, clock: &dyn Clock) -> Result<(), Failure> {
    let chain = wire::audit_chain(config)?;
    let stores = wire::open_durable(config, &chain).await?;
    let store = stores.fence.ok_or_else(in_memory)?;
    let restored = Restored::read(&*stores.audit, &chain).await?;
    let evidence = match &way.audit {
        Some(path) => Some(evidence::read(path, &*stores.audit, &chain, restored.head()?).await?),
        None => None,
    };
    // A clock that is behind what was written must not shorten anything.
    let until = evidence.as_ref().map_or(restored.until, |evidence| restored.until.max(evidence.until));
    let told = clock.now();
    let now = told.max(until);
    let ends = now.plus(QUARANTINE);
    let factors = match (&evidence, way.factors) {
        (Some(evidence), _) => Factors::Of(people(&evidence.lost, now)),
        (None, Some(Everybodys::Reset)) => Factors::Reset,
        (None, _) => Factors::Keep,
    };
    let mut id = [0; 16];
    SystemEntropy::new().fill(&mut id).map_err(audit::unreadable)?;
    let found = store.lineage().await.map_err(audit::unreadable)?;
    let lineage = Lineage { id: HEXLOWER.encode(&id), mark: found.mark.saturating_add(1) };
    // The file first: until the database is what the file says, it is not served.
    FenceFile::of(&config.storage.url)?.write(&lineage, None)?;
    let row = AuditEvent::of_deployment(Event::Fenced, now).because(detail(&restored, evidence.as_ref(), &way));
    let fence =
        Fence { lineage: lineage.id, now, clock: told, last_step: step_at(ends), factors, audit: by_operator(row) };
    let done = store.fence(fence).await.map_err(audit::unreadable)?;
    let report = Report { restored: &restored, evidence: evidence.as_ref(), way: &way, done: &done, ends };
    report.print(&*stores.users).await
}

/// What is to be done to people of whom the database has forgotten something.
fn people(lost: &Lost, now: Timestamp) -> Vec<PersonFence> {
    let row = |event, user: &UserId| by_operator(AuditEvent::about(event, user, now)).because("fence");
    let fence = |(user, forgotten): (&UserId, &Forgotten)| PersonFence {
        user: user.clone(),
        reset: forgotten.changes.contains(&Change::Factors).then(|| row(Event::FactorsReset, user)),
        block: forgotten.changes.iter().any(|change| blocks(*change)).then(|| row(Event::UserBlocked, user)),
        failures: forgotten.failures,
    };
    lost.people.iter().map(fence).collect()
}

const fn blocks(change: Change) -> bool {
    matches!(change, Change::Password | Change::Block)
}

fn by_operator(event: AuditEvent) -> AuditEvent {
    AuditEvent { operator: Some(system::operator().into()), ..event }
}

fn detail(restored: &Restored, evidence: Option<&Evidence>, way: &Way) -> String {
    let how = match (evidence, way.factors) {
        (Some(evidence), _) => format!("factors=audit until={}", evidence.last),
        (None, Some(Everybodys::Reset)) => "factors=reset".to_owned(),
        (None, _) => "factors=keep".to_owned(),
    };
    format!("restored={} {how}", restored.name())
}

fn in_memory() -> Failure {
    Failure::Data("A store in memory is never put back".to_owned())
}

/// The trail as the backup has it.
struct Restored {
    /// Its end, or what is wrong with it.
    end: Result<Head, Broken>,
    /// When its last row was written.
    until: Timestamp,
}

impl Restored {
    async fn read(store: &dyn AuditStore, chain: &AuditChain) -> Result<Self, Failure> {
        let (mut verifier, mut flaw) = (Verifier::new(chain.clone()), None);
        let (mut after, mut until) = (0, Timestamp::from_millis(0));
        loop {
            let page: Vec<AuditRow> = store.list_rows(after, PAGE).await.map_err(audit::unreadable)?;
            for row in &page {
                (after, until) = (row.id, until.max(row.at));
                if flaw.is_none() {
                    flaw = verifier.take(row).err();
                }
            }
            if page.len() < PAGE {
                return Ok(Self { end: flaw.map_or_else(|| verifier.end(), Err), until });
            }
        }
    }

    /// Its end.
    fn head(&self) -> Result<Head, Failure> {
        let broken =
            |broken| format!("The trail of this database is broken, so no export can be compared with it: {broken}");
        self.end.map_err(|flaw| Failure::Broken(broken(flaw)))
    }

    /// What it is called in the trail.
    fn name(&self) -> String {
        match &self.end {
            Ok(head) => format!("{}:{}", head.id, HEXLOWER.encode(head.link.as_bytes())),
            Err(broken) => format!("broken at row {}", broken.id),
        }
    }
}
