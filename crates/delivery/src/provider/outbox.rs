//! A file that takes every message, for demonstrations: whoever may read the file is the person.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
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
    file: Arc<Mutex<File>>,
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
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // One that was there before may have been readable by others.
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self { file: Arc::new(Mutex::new(file)), clock })
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
        let appended = tokio::task::spawn_blocking(move || {
            // Who holds it leaves nothing half done that a panic could show.
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            append(&file, line.expose(), |mut file, line| file.write(line))
        });
        match appended.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SendError::Unavailable { retry_after: None, source: error.into() }),
            Err(error) => Err(SendError::Unknown(error.into())),
        }
    }
}

/// Appends `line` with one `write`, whole or not at all: lines of several processes do not mix.
fn append(file: &File, line: &[u8], write: impl FnOnce(&File, &[u8]) -> io::Result<usize>) -> io::Result<()> {
    // Against other processes; where files have no locks, a line is still one write.
    let _locked = file.lock();
    let appended = append_alone(file, line, write);
    let _unlocked = file.unlock();
    appended
}

/// The same, with nobody else writing.
fn append_alone(file: &File, line: &[u8], write: impl FnOnce(&File, &[u8]) -> io::Result<usize>) -> io::Result<()> {
    let before = file.metadata()?.len();
    // The end of a line may be missing that somebody could neither finish nor take back.
    let torn = before.checked_sub(1).map(|last| is_line_end(file, last)).transpose()? == Some(false);
    let ended;
    let line = if torn {
        ended = Secret::new([b"\n", line].concat());
        ended.expose().as_slice()
    } else {
        line
    };
    let refused = match write(file, line) {
        Ok(written) if written == line.len() => return Ok(()),
        Ok(_) => io::ErrorKind::WriteZero.into(),
        Err(error) => error,
    };
    // If this fails, the next line begins with the end of this one.
    let _cut = file.set_len(before);
    Err(refused)
}

fn is_line_end(file: &File, at: u64) -> io::Result<bool> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(byte == *b"\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn a_line_that_does_not_fit_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.jsonl");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap();
        append(&file, b"first\n", |mut file, line| file.write(line)).unwrap();
        let refused = append(&file, b"second\n", |mut file, line| file.write(&line[..3])).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WriteZero);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n");
        let refused = append(&file, b"second\n", |mut file, line| {
            file.write_all(&line[..3])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
        append(&file, b"second\n", |mut file, line| file.write(line)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");
    }
}
