//! A file that takes every message, for demonstrations: whoever may read the file is the person.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use countersign_domain::{
    message::{Content, Message},
    port::{clock::Clock, sender::SendError},
    secret::Secret,
};
use serde::Serialize;

use super::{Provider, Rendered, push_fields::PushFields};

/// Appends one line of JSON for each message.
///
/// ```json
/// {"id":"msg_…","channel":"sms","to":"+4915…","text":"… 123456 …","code":"123456","at":"2026-11-24T12:00:00.000Z"}
/// ```
///
/// `code` is there if the message holds one, `subject` if it is an e-mail, `push` if it is a notification.
pub struct OutboxFile {
    file: Arc<File>,
    clock: Arc<dyn Clock>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    channel: &'static str,
    to: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PushFields<'a>>,
    at: String,
}

impl OutboxFile {
    /// Opens the file at `path`, or makes it, readable by its owner only.
    ///
    /// # Errors
    ///
    /// The file or its folder cannot be made or opened.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // One that was there before may have been readable by others.
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self { file: Arc::new(file), clock })
    }

    fn line(&self, message: &Message, words: &Rendered) -> Result<Secret<Vec<u8>>, serde_json::Error> {
        let (code, push) = match &message.content {
            Content::Code { code, .. } => (Some(code.expose().as_str()), None),
            Content::Notice(_) => (None, None),
            Content::Push(push) => (None, Some(PushFields::of(push))),
        };
        let mut line = serde_json::to_vec(&Line {
            id: message.id.as_str(),
            channel: message.channel.as_str(),
            to: message.to.expose(),
            text: words.text.expose(),
            code,
            subject: words.subject.as_deref(),
            push,
            at: self.clock.now().to_rfc3339(),
        })?;
        line.push(b'\n');
        Ok(Secret::new(line))
    }
}

#[async_trait]
impl Provider for OutboxFile {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let line = self.line(message, words).map_err(|error| SendError::Refused(error.into()))?;
        let file = Arc::clone(&self.file);
        match tokio::task::spawn_blocking(move || append(&file, line.expose())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SendError::Unavailable { retry_after: None, source: error.into() }),
            Err(error) => Err(SendError::Unknown(error.into())),
        }
    }
}

/// One write, which the system appends as a whole: lines of several processes do not mix.
fn append(mut file: &File, line: &[u8]) -> io::Result<()> {
    let written = file.write(line)?;
    if written == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
