//! Measuring: a closed loop of callers, or one thread in a row, with latencies and CPU time.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::process;

/// One line of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub name: &'static str,
    /// How often, in the measured part.
    pub operations: u64,
    /// By how many callers at once.
    pub callers: usize,
    /// Operations per second.
    pub per_second: f64,
    /// Median latency, in microseconds.
    pub p50_us: f64,
    /// 95th percentile of the latency, in microseconds.
    pub p95_us: f64,
    /// 99th percentile of the latency, in microseconds.
    pub p99_us: f64,
    /// CPU time per operation, in microseconds, of the process that is measured: the server, or for yardsticks without one the
    /// benchmark itself.
    pub cpu_us: f64,
    /// The most memory that process had resident meanwhile, in megabytes (10^6 bytes).
    pub peak_mb: f64,
    /// What its yardsticks took before and after, in microseconds of CPU time, if it is compared with them.
    pub parts_us: Option<f64>,
}

impl Row {
    /// The row, compared with yardsticks of `parts_us` in all.
    #[must_use]
    pub fn beside(self, parts_us: f64) -> Self {
        Self { parts_us: Some(parts_us), ..self }
    }

    /// CPU time in terms of that of its yardsticks.
    pub fn in_parts(&self) -> Option<f64> {
        self.parts_us.map(|parts| self.cpu_us / parts)
    }
}

/// Latencies in nanoseconds.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet; up to a minute each, three digits of it.
    ///
    /// # Errors
    ///
    /// Never: the bounds are good.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).context("bad bounds of the histogram")?))
    }

    /// Takes one in.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub fn recorded(&self) -> u64 {
        self.0.len()
    }

    /// Takes those of another in.
    ///
    /// # Errors
    ///
    /// Never: all have the same bounds.
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0.add(&other.0).context("histograms of one shape add up")
    }

    fn percentile_us(&self, percentile: f64) -> f64 {
        count(self.0.value_at_percentile(percentile)) / 1e3
    }
}

/// What is about to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The name of the row.
    pub name: &'static str,
    /// The process whose CPU time and memory count.
    pub pid: u32,
    /// Callers at once.
    pub callers: usize,
}

impl Measured {
    /// Has `callers` callers do `operation` on every item, each caller the next as soon as its last is done. The first tenth
    /// warms up and does not count.
    ///
    /// # Errors
    ///
    /// An operation failed.
    pub async fn closed_loop<T, F, Fut>(self, items: Vec<T>, operation: F) -> anyhow::Result<Row>
    where
        T: Send + 'static,
        F: Fn(T) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send,
    {
        let counted = self.warm_up(items, &operation).await?;
        Ok(self.row(&self.stretch(counted, operation).await?))
    }

    /// The same, of a server at rest; what it does by itself after the last answer, until it is at rest again, counts too.
    ///
    /// # Errors
    ///
    /// An operation failed, or the server does not come to rest.
    pub async fn closed_loop_to_rest<T, F, Fut>(self, items: Vec<T>, operation: F) -> anyhow::Result<Row>
    where
        T: Send + 'static,
        F: Fn(T) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send,
    {
        let counted = self.warm_up(items, &operation).await?;
        process::at_rest(self.pid).await?;
        let begin = process::cpu_time(self.pid)?;
        let stretch = self.stretch(counted, operation).await?;
        process::at_rest(self.pid).await?;
        let cpu = process::cpu_time(self.pid)?.saturating_sub(begin);
        let peak = process::memory(self.pid)?.peak;
        Ok(self.row(&Stretch { cpu, peak, ..stretch }))
    }

    /// Works off the first tenth; what is left.
    async fn warm_up<T, F, Fut>(self, mut items: Vec<T>, operation: &F) -> anyhow::Result<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(T) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send,
    {
        let counted = items.split_off(items.len() / 10);
        drive(items, self.callers, operation.clone()).await.with_context(|| self.name)?;
        Ok(counted)
    }

    /// The same as one stretch of a row, with nothing to warm up.
    ///
    /// # Errors
    ///
    /// An operation failed.
    pub async fn stretch<T, F, Fut>(self, items: Vec<T>, operation: F) -> anyhow::Result<Stretch>
    where
        T: Send + 'static,
        F: Fn(T) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send,
    {
        let begin = Begin::now(self.pid)?;
        let operations = items.len();
        let (_, latencies) = drive(items, self.callers, operation).await.with_context(|| self.name)?;
        begin.end(operations as u64, latencies)
    }

    /// Has this thread do `operation` again and again for `span`, after a tenth of it to warm up. Each call counts as `members`
    /// operations.
    ///
    /// # Errors
    ///
    /// An operation failed.
    pub fn in_a_row(
        self,
        span: Duration,
        members: u64,
        mut operation: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Row> {
        repeat(span / 10, &mut operation)?;
        let begin = Begin::now(self.pid)?;
        let latencies = repeat(span, &mut operation)?;
        Ok(self.row(&begin.end(latencies.recorded() * members, latencies)?))
    }

    /// Has `self.callers` threads each do, again and again for `span`, an operation that `make` made for it, after a tenth of it to
    /// warm up.
    ///
    /// # Errors
    ///
    /// An operation failed.
    pub fn on_threads<F>(self, span: Duration, make: impl Fn() -> anyhow::Result<F> + Sync) -> anyhow::Result<Stretch>
    where
        F: FnMut() -> anyhow::Result<()>,
    {
        let on_all = |span| {
            thread::scope(|scope| {
                let one = || repeat(span, &mut make()?);
                let workers: Vec<_> = (0..self.callers).map(|_| scope.spawn(one)).collect();
                let mut all = Latencies::new()?;
                for worker in workers {
                    all.merge(&worker.join().map_err(|_panic| anyhow!("a thread panicked"))??)?;
                }
                anyhow::Ok(all)
            })
        };
        on_all(span / 10)?;
        let begin = Begin::now(self.pid)?;
        let latencies = on_all(span)?;
        begin.end(latencies.recorded(), latencies)
    }

    /// The row of what was measured.
    pub fn row(self, stretch: &Stretch) -> Row {
        Row {
            name: self.name,
            operations: stretch.operations,
            callers: self.callers,
            per_second: stretch.per_second(),
            p50_us: stretch.latencies.percentile_us(50.0),
            p95_us: stretch.latencies.percentile_us(95.0),
            p99_us: stretch.latencies.percentile_us(99.0),
            cpu_us: stretch.cpu.as_secs_f64() * 1e6 / count(stretch.operations),
            peak_mb: megabytes(stretch.peak),
            parts_us: None,
        }
    }
}

/// What was measured at one go, or at several that took turns with what they are compared with.
pub struct Stretch {
    operations: u64,
    elapsed: Duration,
    cpu: Duration,
    /// Bytes.
    peak: u64,
    latencies: Latencies,
}

impl Stretch {
    /// Operations per second.
    pub fn per_second(&self) -> f64 {
        count(self.operations) / self.elapsed.as_secs_f64()
    }

    /// Together with another of the same row.
    ///
    /// # Errors
    ///
    /// Never: all latencies have the same bounds.
    pub fn and(mut self, other: &Self) -> anyhow::Result<Self> {
        self.latencies.merge(&other.latencies)?;
        Ok(Self {
            operations: self.operations + other.operations,
            elapsed: self.elapsed + other.elapsed,
            cpu: self.cpu + other.cpu,
            peak: self.peak.max(other.peak),
            latencies: self.latencies,
        })
    }
}

/// The state of things when measuring began.
pub struct Begin {
    pid: u32,
    at: Instant,
    cpu: Duration,
}

impl Begin {
    /// Begins.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn now(pid: u32) -> anyhow::Result<Self> {
        process::forget_peak(pid);
        Ok(Self { pid, cpu: process::cpu_time(pid)?, at: Instant::now() })
    }

    /// What `operations` came to that have just ended.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn end(&self, operations: u64, latencies: Latencies) -> anyhow::Result<Stretch> {
        let elapsed = self.at.elapsed();
        let cpu = process::cpu_time(self.pid)?.saturating_sub(self.cpu);
        Ok(Stretch { operations, elapsed, cpu, peak: process::memory(self.pid)?.peak, latencies })
    }
}

/// Does `operation` again and again for `span`, at least once.
///
/// # Errors
///
/// An operation failed.
pub fn repeat(span: Duration, operation: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let start = Instant::now();
    let mut last = Duration::ZERO;
    loop {
        operation()?;
        let now = start.elapsed();
        latencies.record(now.saturating_sub(last));
        if now >= span {
            return Ok(latencies);
        }
        last = now;
    }
}

/// Has `callers` callers work off `items`; the answers come in the order of the items.
///
/// # Errors
///
/// An operation failed; the others are cut off then.
pub async fn drive<T, R, F, Fut>(items: Vec<T>, callers: usize, operation: F) -> anyhow::Result<(Vec<R>, Latencies)>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(T) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<R>> + Send,
{
    let mut answers: Vec<(usize, R)> = Vec::with_capacity(items.len());
    let items = Arc::new(Mutex::new(items.into_iter().enumerate()));
    let mut workers = JoinSet::new();
    for _ in 0..callers.max(1) {
        let (items, operation) = (Arc::clone(&items), operation.clone());
        workers.spawn(async move {
            let (mut answers, mut latencies) = (Vec::new(), Latencies::new()?);
            loop {
                let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((place, item)) = next else { return anyhow::Ok((answers, latencies)) };
                let start = Instant::now();
                answers.push((place, operation(item).await?));
                latencies.record(start.elapsed());
            }
        });
    }
    let mut latencies = Latencies::new()?;
    while let Some(worker) = workers.join_next().await {
        let (done, theirs) = worker??;
        answers.extend(done);
        latencies.merge(&theirs)?;
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    let answers = answers.into_iter().map(|(_, answer)| answer).collect();
    Ok((answers, latencies))
}

/// Bytes as megabytes of 10^6.
pub fn megabytes(bytes: u64) -> f64 {
    count(bytes) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
const fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_item_is_worked_off_once_and_answers_keep_its_place() {
        let yielding = async |item: u32| {
            for _ in 0..item % 3 {
                tokio::task::yield_now().await;
            }
            Ok(item)
        };
        let (answers, latencies) = drive((0..100).collect(), 7, yielding).await.unwrap();
        assert_eq!(answers, (0..100).collect::<Vec<_>>());
        assert_eq!(latencies.recorded(), 100);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_counted_as_fast() {
        let outcome = drive(vec![1], 2, async |_: u32| -> anyhow::Result<()> { anyhow::bail!("no") }).await;
        assert!(outcome.is_err());
    }

    #[tokio::test]
    async fn stretches_add_up() {
        let measured = Measured { name: "in turns", pid: std::process::id(), callers: 2 };
        let stretch = async |items| measured.stretch(items, async |_: u8| Ok(())).await.unwrap();
        let row = measured.row(&stretch(vec![1; 10]).await.and(&stretch(vec![1; 5]).await).unwrap());
        assert_eq!((row.operations, row.name), (15, "in turns"));
    }

    #[test]
    fn members_of_a_group_count_each() {
        let measured = Measured { name: "group", pid: std::process::id(), callers: 1 };
        let mut calls = 0;
        let row = measured
            .in_a_row(Duration::from_micros(10), 8, || {
                calls += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(row.operations % 8, 0);
        assert!(row.operations <= calls * 8);
    }
}
