//! Log lines on their way out, without anybody waiting for the reader.
//!
//! Whoever reads standard output may stop, and a write to a full pipe waits for ever: on a thread that serves, everything would.
//! So lines are put into a buffer in memory, and one thread of their own writes what has gathered, some hundred times a second at
//! most: one write for many lines. Lines that do not fit are dropped, counted and told of later. A buffer of bytes and not a queue
//! of lines, because that needs no allocation for each, and bounds the memory. (`tracing-appender` has one; where its queue is full
//! at the end, it writes a complaint to the very pipe that nobody reads.)

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::Metrics;

/// The most bytes that wait: some ten thousand lines.
const MOST: usize = 4 * 1024 * 1024;
/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(10);
/// So many bytes are written at once, without gathering more.
const ENOUGH: usize = 64 * 1024;
/// How long a pipe that would rather not wait is left alone.
const PAUSE: Duration = Duration::from_millis(10);

/// Where lines are put. Clones share one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Shared>);

/// The thread that writes. Dropping it gives it a moment to write what waits.
#[derive(Debug)]
pub(crate) struct Writing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Rung when the thread has something to do.
    come: Condvar,
    /// Rung when the thread has ended.
    ended: Condvar,
    most: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that were not written, ever.
    dropped: u64,
    /// Whether the thread sleeps until it is rung for.
    idle: bool,
    ending: bool,
    ended: bool,
}

/// Begins to write to `out`. `tell` is called on that thread with a number of lines that were dropped, once lines are taken again.
pub(crate) fn begin(
    out: impl Write + Send + 'static,
    metrics: &Metrics,
    tell: impl Fn(u64) + Send + 'static,
) -> io::Result<(Lines, Writing)> {
    begin_with(MOST, out, metrics, tell)
}

fn begin_with(
    most: usize,
    out: impl Write + Send + 'static,
    metrics: &Metrics,
    tell: impl Fn(u64) + Send + 'static,
) -> io::Result<(Lines, Writing)> {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        come: Condvar::new(),
        ended: Condvar::new(),
        most,
        metrics: metrics.clone(),
    });
    let theirs = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || theirs.write(out, tell))?;
    Ok((Lines(Arc::clone(&shared)), Writing(shared)))
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.locked();
        if waiting.ended || waiting.bytes.len() + line.len() > self.most {
            waiting.dropped += 1;
            drop(waiting);
            self.metrics.log_lines_dropped(1);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        if mem::take(&mut waiting.idle) {
            drop(waiting);
            self.come.notify_one();
        }
    }

    fn write(&self, mut out: impl Write, tell: impl Fn(u64)) {
        let mut batch = Vec::new();
        let mut told = 0;
        while let Some(dropped) = self.take(&mut batch) {
            let lost = written(&mut out, &batch).err().map_or(0, |rest| lines(batch.get(rest..).unwrap_or_default()));
            batch.clear();
            batch.shrink_to(ENOUGH);
            if lost > 0 {
                // The reader is gone. Telling it would be lost too.
                self.locked().dropped += lost;
                self.metrics.log_lines_dropped(lost);
            } else if dropped > told {
                tell(dropped - told);
                told = dropped;
            }
        }
        self.locked().ended = true;
        self.ended.notify_all();
    }

    /// Waits for lines, and answers how many have been dropped so far. `None`: there are none and there will be none.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut waiting = self.gather(self.locked());
        while waiting.bytes.is_empty() {
            if waiting.ending {
                return None;
            }
            waiting.idle = true;
            waiting = self.come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle = false;
            waiting = self.gather(waiting);
        }
        mem::swap(&mut waiting.bytes, batch);
        Some(waiting.dropped)
    }

    /// Lets more lines come. Nobody rings for them: under load they cost no call of the system.
    fn gather<'a>(&'a self, waiting: MutexGuard<'a, Waiting>) -> MutexGuard<'a, Waiting> {
        if waiting.ending || waiting.bytes.len() >= ENOUGH {
            return waiting;
        }
        self.come.wait_timeout(waiting, GATHER).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Writes all of `bytes`, or answers where it stopped.
fn written(out: &mut impl Write, bytes: &[u8]) -> Result<(), usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err(done),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
            Err(_) => return Err(done),
        }
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}

impl Writing {
    /// How long the last lines may take. A reader that reads takes them at once.
    pub(crate) const LAST: Duration = Duration::from_secs(2);

    /// Has what waits written, and nothing after that. False: it took too long.
    fn end(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut waiting = self.0.locked();
        waiting.ending = true;
        self.0.come.notify_all();
        while !waiting.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.0.ended.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Whoever does not read learns nothing of it, and nobody else could be told.
        let _in_time = self.end(Self::LAST);
    }
}

/// Takes one line a call, which is how the formatter writes.
pub(crate) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A pipe: a write waits until somebody reads, or fails when nobody can.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        lines: Lines,
        writing: Writing,
        reader: Receiver<Vec<u8>>,
        told: Receiver<u64>,
        metrics: Metrics,
    }

    fn rig(most: usize) -> Rig {
        let (pipe, reader) = sync_channel(0);
        let (telling, told) = sync_channel(100);
        let metrics = Metrics::new();
        let (lines, writing) =
            begin_with(most, Pipe(pipe), &metrics, move |count| telling.send(count).unwrap()).unwrap();
        Rig { lines, writing, reader, told, metrics }
    }

    fn put(lines: &Lines, text: &str) {
        lines.make_writer().write_all(text.as_bytes()).unwrap();
    }

    fn dropped(metrics: &Metrics) -> u64 {
        let page = metrics.render();
        let line = page.lines().find_map(|line| line.strip_prefix("countersign_log_lines_dropped_total "));
        line.unwrap().parse().unwrap()
    }

    #[test]
    fn every_line_is_written_in_order_and_many_at_once() {
        let rig = rig(MOST);
        let reading = thread::spawn(move || rig.reader.iter().collect::<Vec<_>>());
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let lines = rig.lines.clone();
                thread::spawn(move || (0..2000).for_each(|number| put(&lines, &format!("{writer} {number}\n"))))
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(rig.writing.end(Duration::from_secs(60)));
        // The thread lets go of the pipe when it ends.
        let pieces = reading.join().unwrap();
        let text = String::from_utf8(pieces.concat()).unwrap();
        for writer in 0..4 {
            let own = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            let own: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
            assert_eq!(own, (0..2000).collect::<Vec<_>>());
        }
        assert!(pieces.len() < 1000, "{} writes for 8000 lines", pieces.len());
        assert_eq!(dropped(&rig.metrics), 0);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stalls_and_what_is_dropped_is_told() {
        let rig = rig(100);
        // Nobody reads: were anybody to wait, this would not end.
        for number in 0..1000 {
            put(&rig.lines, &format!("line {number:04}\n"));
        }
        let lost = dropped(&rig.metrics);
        assert!((980..=990).contains(&lost), "{lost}");
        let reading = thread::spawn(move || rig.reader.iter().flatten().collect::<Vec<_>>());
        assert!(rig.writing.end(Duration::from_secs(60)));
        let text = String::from_utf8(reading.join().unwrap()).unwrap();
        let numbers: Vec<_> = text.lines().collect();
        assert_eq!(numbers.len() as u64, 1000 - lost);
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(rig.told.iter().sum::<u64>(), lost);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_stalls() {
        let rig = rig(MOST);
        put(&rig.lines, "a line\n");
        assert!(!rig.writing.end(Duration::from_millis(20)));
        assert_eq!(rig.reader.recv().unwrap(), b"a line\n");
        assert!(rig.writing.end(Duration::from_secs(60)));
    }

    #[test]
    fn lines_without_a_reader_are_counted_and_do_no_harm() {
        let Rig { lines, writing, reader, told, metrics } = rig(MOST);
        drop(reader);
        put(&lines, "one\n");
        put(&lines, "two\n");
        assert!(writing.end(Duration::from_secs(60)));
        put(&lines, "after the end\n");
        assert_eq!(dropped(&metrics), 3);
        assert!(told.try_recv().is_err(), "there was nobody to be told");
    }
}
