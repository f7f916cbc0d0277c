//! A set of factors, small enough to be copied.

use serde::{Deserialize, Serialize};

use crate::authenticator::FactorKind;

/// Kinds of factors. Inside a sealed transaction it is a number, whose bits never change their meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactorSet(u8);

impl FactorSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// All of them, those that are still to come included.
    pub const ALL: Self = Self(u8::MAX);

    const fn bit(kind: FactorKind) -> u8 {
        match kind {
            FactorKind::Push => 1,
            FactorKind::Otp => 2,
            FactorKind::Sms => 4,
            FactorKind::Voice => 8,
            FactorKind::Email => 16,
        }
    }

    /// With `kind` in it.
    #[must_use]
    pub const fn and(self, kind: FactorKind) -> Self {
        Self(self.0 | Self::bit(kind))
    }

    /// What is in both.
    #[must_use]
    pub const fn in_both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `kind` is in it.
    pub const fn has(self, kind: FactorKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds, in the order in which the server prefers them.
    pub fn kinds(self) -> impl Iterator<Item = FactorKind> {
        FactorKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<FactorKind> for FactorSet {
    fn from_iter<I: IntoIterator<Item = FactorKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::and)
    }
}
