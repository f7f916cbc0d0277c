//! The verbs on data keys.

use std::time::Duration;

use countersign_crypto::{
    data_key_keeper::{Begin, DataKeyKeeper, Listed, Refused, Rotation},
    key_keeper::Haste,
};
use countersign_domain::{
    data_key::{DataKeyId, DataKeyState, SEALS, SEALS_BEFORE_ROTATION},
    port::clock::Clock,
    time::Timestamp,
};

use super::{failed, progress::Progress};
use crate::{
    cli::{exit::Failure, run},
    system,
};

/// Between batches, so that servers get at the store.
const PAUSE: Duration = Duration::from_millis(10);

/// How often everything is gone through again for what somebody else changed meanwhile.
const PASSES: usize = 5;

/// Reads an id.
pub(super) fn id(text: &str) -> Result<DataKeyId, String> {
    DataKeyId::parse(text).ok_or_else(|| "must be the id of a data key, as `countersign keys list` shows it".to_owned())
}

/// Lists them.
pub(super) async fn list(keeper: &DataKeyKeeper) -> Result<(), Failure> {
    // The newest first, as signing keys.
    for key in keeper.list().await.map_err(failed)?.iter().rev() {
        run::print(&line(key));
    }
    Ok(())
}

fn line(key: &Listed) -> String {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339);
    let (values, seals, ripe) = (key.values, key.seals, at(key.ripe_at));
    let then = match key.state {
        DataKeyState::Next => format!("seals from {ripe}"),
        DataKeyState::Current => {
            let due = if seals >= SEALS_BEFORE_ROTATION { "; have another take over: keys rotate-data" } else { "" };
            format!("{values} values are sealed with it, {seals} of {SEALS} seals are taken{due}")
        }
        DataKeyState::Previous { .. } => format!("{values} values are left, may be dropped from {ripe}"),
        DataKeyState::Dropped => "-".to_owned(),
    };
    format!("{}\tA256GCM\t{}\t{}\t{then}", key.id, key.state.as_str(), at(key.since))
}

/// Begins a rotation or goes on with one, and seals everything anew.
pub(super) async fn rotate(keeper: &DataKeyKeeper, anew: bool, clock: &dyn Clock) -> Result<(), Failure> {
    let begin = if anew { Begin::Anew } else { Begin::OrGoOn };
    let rotation = keeper.begin(begin).await.map_err(failed)?.map_err(refused)?;
    let Rotation { key, made, settled_at, left } = rotation;
    run::print(&if made {
        format!("{key} is made; {left} values are to be sealed with it")
    } else {
        format!("{key} goes on; {left} values are left to be sealed with it")
    });
    until(settled_at, clock).await;
    keeper.reload().await.map_err(failed)?;
    let mut progress = Progress::begin(left);
    let (mut done, mut broken) = (0, 0);
    for _ in 0..PASSES {
        let (mut changed, mut pass) = (0, keeper.seal_anew(key));
        broken = 0;
        while let Some(batch) = pass.next().await.map_err(failed)? {
            progress.add(batch.done);
            (done, changed) = (done + batch.done, changed + batch.changed);
            broken += batch.broken.len();
            for (column, id) in batch.broken {
                progress.say(&format!("{id} among the {} does not open: it was changed or moved", column.as_str()));
            }
            system::pause(PAUSE).await;
        }
        // Whoever changed one sealed it with the same key; the next pass sees that.
        if changed == 0 {
            break;
        }
    }
    progress.end();
    let left = keeper.left(key).await.map_err(failed)?;
    run::print(&format!("{done} values are sealed anew, {left} are left"));
    if broken > 0 {
        let what =
            format!("{broken} values do not open and stay as they are; the key that they name cannot be dropped");
        return Err(Failure::Broken(what));
    }
    if left > 0 {
        return Err(Failure::Unavailable("not everything is sealed anew; run this again".to_owned()));
    }
    Ok(())
}

/// Drops a key.
pub(super) async fn drop_key(keeper: &DataKeyKeeper, key: DataKeyId, haste: Haste) -> Result<(), Failure> {
    keeper.drop_key(key, haste).await.map_err(failed)?.map_err(refused)?;
    run::print(&format!("{key} is dropped"));
    Ok(())
}

/// Waits for a moment that is seconds away. The clock says when it is there.
async fn until(moment: Timestamp, clock: &dyn Clock) {
    while clock.now() < moment {
        system::pause(Duration::from_millis(200)).await;
    }
}

/// Why nothing was done.
fn refused(refused: Refused) -> Failure {
    let why = match refused {
        Refused::Unknown => "There is no such data key".to_owned(),
        Refused::Dropped => "This data key is dropped already".to_owned(),
        Refused::Seals => {
            "Values are sealed with this data key; have another take over first with `countersign keys rotate-data`"
                .to_owned()
        }
        Refused::NotBefore(at) => {
            let at = at.to_rfc3339();
            format!("Not before {at}: logins under way may be sealed with it; --now makes them begin again")
        }
        Refused::InUse(counts) => {
            let counts: Vec<_> =
                counts.iter().map(|count| format!("{} {}", count.values, count.column.as_str())).collect();
            let counts = counts.join(", ");
            format!(
                "Sealed with it: {counts}; `countersign keys rotate-data` seals anew what stays, the rest ends by itself"
            )
        }
        Refused::Conflict => "Somebody else changed the keys at the same time; look at them and try again".to_owned(),
    };
    Failure::Data(format!("{why}; nothing was changed"))
}
