//! What is wrong with a configuration, all of it.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where: `grpc.listen`, `clients[1].secrets`.
    pub path: String,
    /// What is wrong and what would be right. It never repeats a value: that may be a secret in the wrong place.
    pub what: String,
}

/// All mistakes of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.0.push(Mistake { path: path.into(), what: what.into() });
    }

    /// Adds one if `wrong`.
    pub fn add_if(&mut self, wrong: bool, path: impl Into<String>, what: impl Into<String>) {
        if wrong {
            self.add(path, what);
        }
    }

    /// Adds those of `others` that are not about a place that is known to be wrong already.
    pub fn extend_elsewhere(&mut self, others: Self) {
        let known: Vec<String> = self.0.iter().map(|mistake| mistake.path.clone()).collect();
        let follows = |path: &str| known.iter().any(|known| is_within(path, known) || is_within(known, path));
        self.0.extend(others.0.into_iter().filter(|mistake| !follows(&mistake.path)));
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }

    /// `value`, unless there are mistakes.
    ///
    /// # Errors
    ///
    /// The mistakes, sorted by path.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self.sorted()) }
    }

    /// The same, sorted by path, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }
}

/// Whether `inner` is `outer` or below it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {} in the configuration", if count == 1 { "mistake" } else { "mistakes" })?;
        for Mistake { path, what } in &self.0 {
            write!(f, "\n  {path}: {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
