//! What follows a first factor: one pure function, [`decide`], that can be asked why.
//!
//! It reads no clock and no store, and allocates nothing. Whoever asks brings the [`Rule`] of client and API and the [`Facts`] of the
//! login; the answer is a [`Decision`] with every reason for it. `docs/policy.md` tells it to operators.
//!
//! To add a condition: a field of [`Facts`], a [`Why`], and a line in the function that decides; the property tests below then hold it
//! to the one promise that matters: a stricter rule or a stricter wish never lets somebody in who was kept out.

mod decide;
mod reason;
mod rule;

#[cfg(test)]
mod tests;

pub(crate) use self::decide::is_within;
pub use self::{
    decide::{Context, Decision, Facts, Purpose, Verdict, Wish, decide},
    reason::{Reasons, Why},
    rule::{ContextRule, Demand, Demands, Rule, Strength},
};
