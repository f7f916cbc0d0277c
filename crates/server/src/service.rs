//! The services. Every method is the same: parse, call, render.

mod associate;
mod challenge;
mod device;
mod notice;
mod token;

use std::{future::Future, sync::Arc};

use countersign_domain::{app::App, error::Error};
use tokio::sync::watch;
use tonic::{Extensions, Request, Response, Status, metadata::MetadataMap};

use crate::{
    caller,
    convert::Known,
    watch::Watchers,
    work::{Room, Share},
};

/// What all services share.
#[derive(Clone)]
pub(crate) struct Services {
    app: Arc<App>,
    room: Room,
    watchers: Watchers,
}

impl Services {
    /// Calls run in `room`; streams end when `stopping` says so.
    pub(crate) fn new(app: Arc<App>, room: Room, stopping: watch::Receiver<bool>) -> Self {
        Self { app, room, watchers: Watchers::new(stopping) }
    }

    /// What a request that came with `extensions` is read beside.
    fn known(&self, extensions: &Extensions) -> Known<'_> {
        Known { certificate: caller::certificate(extensions), clients: &self.app.registry.clients }
    }

    /// Carries out what a request was parsed into, and renders what comes of it.
    async fn call<D, T, F>(
        &self,
        share: Share,
        metadata: &MetadataMap,
        parsed: Result<F, Error>,
        render: impl FnOnce(D) -> T,
    ) -> Result<Response<T>, Status>
    where
        D: Send + 'static,
        F: Future<Output = Result<D, Error>> + Send + 'static,
    {
        let work = parsed.map_err(|error| crate::status::to_status(&error))?;
        self.room.carry_out(share, metadata, work).await.map(|done| Response::new(render(done)))
    }
}

/// A request in its parts: the message can be moved while its metadata is read.
struct Parts<T> {
    metadata: MetadataMap,
    extensions: tonic::Extensions,
    message: T,
}

impl<T> From<Request<T>> for Parts<T> {
    fn from(request: Request<T>) -> Self {
        let (metadata, extensions, message) = request.into_parts();
        Self { metadata, extensions, message }
    }
}
