//! The TLS side of a listener, which follows its files: certificates live for a day where they are renewed by themselves.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};
use countersign_domain::certificate::CertificateName;
use countersign_server::Caller;
use rustls::ServerConfig;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use zeroize::Zeroizing;

use super::{Files, Loaded, Peer};

/// How long a change of the files stays unnoticed, at most. `docs/operations.md` promises it.
const REREAD_EVERY: Duration = Duration::from_secs(5);

/// The TLS side of a listener. Cheap to clone.
#[derive(Clone)]
pub struct Side {
    files: Arc<Files>,
    gateways: Arc<BTreeSet<CertificateName>>,
    current: Arc<watch::Sender<Current>>,
}

struct Current {
    loaded: Loaded,
    read: [u8; 32],
}

impl Side {
    /// The one of `files`. Who has a certificate with one of `gateways` is believed about people.
    ///
    /// # Errors
    ///
    /// As [`Files::load`].
    pub fn new(files: Files, gateways: BTreeSet<CertificateName>) -> anyhow::Result<Self> {
        let current = Current { read: fingerprint(&files)?, loaded: files.load()? };
        Ok(Self {
            files: Arc::new(files),
            gateways: Arc::new(gateways),
            current: Arc::new(watch::Sender::new(current)),
        })
    }

    /// For the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().loaded.config)
    }

    /// Who calls with the certificate of `peer`.
    pub fn caller(&self, peer: &Peer) -> Caller {
        let names = peer.names();
        if names.is_disjoint(&self.gateways) { Caller::Certified(names) } else { Caller::Gateway }
    }

    /// Whether the certificate of `peer` is still good.
    pub fn is_good(&self, peer: &Peer) -> bool {
        let current = self.current.borrow();
        let (Some(verifier), Some(now)) =
            (&current.loaded.verifier, current.loaded.config.time_provider.current_time())
        else {
            return false;
        };
        peer.is_good(verifier.as_ref(), now)
    }

    /// Says when the files have changed.
    pub fn changes(&self) -> Changes {
        Changes(self.current.subscribe())
    }

    /// Reads the files again, if they have changed. What they said before goes on if they cannot be used.
    ///
    /// # Errors
    ///
    /// As [`Files::load`].
    pub fn reread(&self) -> anyhow::Result<()> {
        let read = fingerprint(&self.files)?;
        if read != self.current.borrow().read {
            let loaded = self.files.load()?;
            self.current.send_replace(Current { loaded, read });
            tracing::info!(file = %self.files.cert.display(), "certificates were read again");
        }
        Ok(())
    }

    /// Reads them again and again, until `stopping`.
    pub async fn follow(self, mut stopping: watch::Receiver<bool>) {
        let mut ticks = interval(REREAD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut failing = false;
        loop {
            tokio::select! {
                () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => return,
                _ = ticks.tick() => {
                    let side = self.clone();
                    let outcome = tokio::task::spawn_blocking(move || side.reread()).await;
                    let error = outcome.map_err(anyhow::Error::from).flatten().err();
                    // One line when it begins. Files that are replaced one after the other do not fit for a moment.
                    if let (Some(error), false) = (&error, failing) {
                        tracing::warn!(error = format!("{error:#}"), "certificates cannot be read again; those that are known stay");
                    }
                    failing = error.is_some();
                }
            }
        }
    }
}

/// Says when the files of a [`Side`] have changed.
pub struct Changes(watch::Receiver<Current>);

impl Changes {
    /// Until they have changed again; for ever, if nobody looks any more.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A digest of what is in the files, so that no key is kept for comparing.
fn fingerprint(files: &Files) -> anyhow::Result<[u8; 32]> {
    let mut digest = Context::new(&SHA256);
    let authorities = files.authorities.as_ref().map(|authorities| &authorities.file);
    for path in [&files.cert, &files.key].into_iter().chain(authorities) {
        let content = std::fs::read(path).map(Zeroizing::new);
        let content = content.with_context(|| format!("cannot read {}", path.display()))?;
        digest.update(&content.len().to_be_bytes());
        digest.update(&content);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.finish().as_ref());
    Ok(fingerprint)
}
