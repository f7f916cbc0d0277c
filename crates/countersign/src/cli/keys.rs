//! `keys`: the operator's verbs on signing keys and data keys.

mod data;
mod progress;

use std::sync::Arc;

use clap::{Args, Subcommand};
use countersign_crypto::key_keeper::{Haste, KeyChange, KeyKeeper};
use countersign_domain::{
    data_key::DataKeyId,
    id::KeyId,
    port::{PortError, clock::Clock, key_store::StoredKey, signer::Algorithm},
    signing_key::KeyState,
    time::Timestamp,
};

use super::{exit::Failure, run, target::Target};
use crate::wire::{self, Keepers};

/// `keys` and what it works on.
#[derive(Args, Debug)]
pub struct KeysCommand {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List signing keys, the newest first, then data keys, one a line: id, algorithm, state, since when, and what may come of it when,
    /// separated by tabs.
    List(Target),
    /// Make the next signing key of an algorithm. It is published at once, whether an API uses the algorithm or is only going to, and signs
    /// once it is promoted, or an API is configured for the algorithm.
    Add {
        /// RS256, ES256, Ed25519 or `EdDSA`.
        #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = algorithm)]
        algorithm: Algorithm,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Have the next signing key of an algorithm take over. The current one becomes a previous one.
    Promote {
        /// RS256, ES256, Ed25519 or `EdDSA`.
        #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = algorithm)]
        algorithm: Algorithm,
        /// An emergency: even if it has not been published for long enough.
        #[arg(long)]
        now: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Retire a signing key that signs nothing. Everything it signed is void, and its private key is forgotten. The current key of an
    /// algorithm that no API uses any more becomes a previous one first.
    Retire {
        /// Its id.
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// An emergency: even if tokens that it signed are good still.
        #[arg(long)]
        now: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// An emergency, in one step: the next signing key of an algorithm signs at once, the current one is retired, and everybody has to
    /// log in anew.
    Emergency {
        /// RS256, ES256, Ed25519 or `EdDSA`.
        #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = algorithm)]
        algorithm: Algorithm,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Make a data key, and seal everything with it that is stored sealed, while servers run. What was interrupted goes on where it was.
    RotateData {
        /// Make a data key even if values are left that are sealed with the one before the newest.
        #[arg(long)]
        anew: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Drop a data key that nothing is sealed with any more. What is sealed with it in copies of the store opens no more.
    DropData {
        /// Its id.
        #[arg(value_parser = data::id)]
        key: DataKeyId,
        /// An emergency: even if logins under way may be sealed with it in Redis. They begin again.
        #[arg(long)]
        now: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| "must be RS256, ES256, Ed25519 or EdDSA".to_owned())
}

/// Does it, and says what was done.
///
/// # Errors
///
/// It could not be done; nothing was changed.
pub async fn run(command: KeysCommand, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    match command.verb {
        Verb::List(target) => {
            let Keepers { signing, data } = open(&target, clock).await?;
            for key in signing.list().await.map_err(failed)? {
                run::print(&line(&key, &signing));
            }
            data::list(&data).await
        }
        Verb::Add { algorithm, target } => {
            let keeper = open_to_seal(&target, clock).await?.signing;
            let wanted = keeper.options().algorithms.contains(&algorithm);
            let change = keeper.add(algorithm).await.map_err(failed)?;
            say(&change, "is made and published")?;
            if !wanted {
                eprintln!(
                    "note: no API is configured for {} yet. Libraries that know RSA keys alone fail on the key set now; \
                     `countersign keys retire` takes the key out again",
                    algorithm.as_str()
                );
            }
            Ok(())
        }
        Verb::Promote { algorithm, now, target } => {
            let change = open(&target, clock).await?.signing.promote(algorithm, haste(now)).await.map_err(failed)?;
            say(&change, "signs from now on")
        }
        Verb::Retire { key, now, target } => {
            let change =
                open(&target, clock).await?.signing.retire(&KeyId::new(key), haste(now)).await.map_err(failed)?;
            say(&change, "is retired; what it signed is void within five seconds")
        }
        Verb::Emergency { algorithm, target } => {
            let (change, accounts) =
                open_to_seal(&target, clock).await?.signing.replace(algorithm).await.map_err(failed)?;
            say(&change, "signs from now on; what the one before it signed is void within five seconds")?;
            run::print(&format!("everything that {accounts} accounts had in flight is ended"));
            Ok(())
        }
        Verb::RotateData { anew, target } => data::rotate(&open(&target, clock).await?.data, anew, &**clock).await,
        Verb::DropData { key, now, target } => data::drop_key(&open(&target, clock).await?.data, key, haste(now)).await,
    }
}

const fn haste(now: bool) -> Haste {
    if now { Haste::AtOnce } else { Haste::Planned }
}

fn failed(error: PortError) -> Failure {
    countersign_domain::error::Error::from(error).into()
}

async fn open(target: &Target, clock: &Arc<dyn Clock>) -> Result<Keepers, Failure> {
    Ok(wire::keepers(&target.config()?, clock).await?)
}

/// For verbs that make a signing key, which is sealed. Looking takes no seals.
async fn open_to_seal(target: &Target, clock: &Arc<dyn Clock>) -> Result<Keepers, Failure> {
    let keepers = open(target, clock).await?;
    if let Err(error) = keepers.data.provide().await {
        // An emergency that finds a next key needs none. Whoever does fails.
        eprintln!("note: {}", failed(error));
    }
    Ok(keepers)
}

fn line(key: &StoredKey, keeper: &KeyKeeper) -> String {
    let then = keeper.options().rotation.ripe_at(key).map(Timestamp::to_rfc3339);
    let unused = !keeper.options().algorithms.contains(&key.algorithm);
    let then = match (key.state, then) {
        (KeyState::Next, _) if unused => "signs once an API uses its algorithm".to_owned(),
        (KeyState::Current, _) if unused => "signs nothing: no API uses its algorithm".to_owned(),
        (KeyState::Next, Some(at)) => format!("may sign from {at}"),
        (KeyState::Current, Some(at)) => format!("signs until {at}"),
        (KeyState::Previous, Some(at)) => format!("is needed until {at}"),
        (KeyState::Current, None) => "signs until it is replaced".to_owned(),
        (_, _) => "-".to_owned(),
    };
    let (algorithm, state, since) = (key.algorithm.as_str(), key.state.as_str(), key.changed_at.to_rfc3339());
    format!("{}\t{algorithm}\t{state}\t{since}\t{then}", key.id)
}

/// The sentence about what was done, or why nothing was.
fn say(change: &KeyChange, done: &str) -> Result<(), Failure> {
    let why = match change {
        KeyChange::Done(id) => {
            run::print(&format!("{id} {done}"));
            return Ok(());
        }
        KeyChange::Ended(at) => {
            let at = at.to_rfc3339();
            run::print(&format!(
                "It is a previous key now: no API uses its algorithm. What it signed is good; retire it from {at} on"
            ));
            return Ok(());
        }
        KeyChange::NextExists(id) => format!("There is a next key already: {id}"),
        KeyChange::NoNext => "There is no next key of this algorithm; make one with `countersign keys add`".to_owned(),
        KeyChange::Unused => {
            "No API is configured for this algorithm; its next key signs as soon as a server is that has one".to_owned()
        }
        KeyChange::Unknown => "There is no such key".to_owned(),
        KeyChange::Signs => "This key signs; have another take over first with `countersign keys promote`".to_owned(),
        KeyChange::Retired => "This key is retired already".to_owned(),
        KeyChange::NotBefore(at) => {
            format!("Not before {}, or some would fail to verify; --now does it all the same", at.to_rfc3339())
        }
        KeyChange::Conflict => "Somebody else changed the keys at the same time; look at them and try again".to_owned(),
    };
    Err(Failure::Data(format!("{why}; nothing was changed")))
}
