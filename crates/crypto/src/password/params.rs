//! How much a hash costs.

/// Cost parameters of argon2id (RFC 9106, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Parameters that argon2 does not know, or that would let one hash take the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argon2id takes 8 KiB per lane to 1 GiB of memory, 1 to 64 passes and 1 to 64 lanes")]
pub struct HashParamsError;

impl HashParams {
    /// 19 MiB, 2 passes, 1 lane: the minimum of OWASP and of ASVS 5.0, and our default.
    pub const DEFAULT: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };

    /// 64 MiB, 3 passes, 4 lanes: the second recommendation of RFC 9106, section 4.
    pub const STRONG: Self = Self { memory_kib: 65_536, passes: 3, lanes: 4 };

    /// `memory_kib` KiB of memory, gone over `passes` times, in `lanes` lanes.
    ///
    /// # Errors
    ///
    /// [`HashParamsError`] if a number is out of bounds.
    pub const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, HashParamsError> {
        let bounded = memory_kib <= 1024 * 1024 && passes >= 1 && passes <= 64 && lanes >= 1 && lanes <= 64;
        if bounded && memory_kib >= 8 * lanes { Ok(Self { memory_kib, passes, lanes }) } else { Err(HashParamsError) }
    }

    /// Memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes. They are worked on one after the other: what runs side by side is logins.
    pub const fn lanes(self) -> u32 {
        self.lanes
    }

    /// Whether it is no weaker than 12 MiB and 3 passes, 19 MiB and 2, or 46 MiB and 1 (OWASP ASVS 5.0, 11.4.2).
    pub const fn is_strong_enough(self) -> bool {
        matches!((self.memory_kib, self.passes), (12_288.., 3..) | (19_456.., 2..) | (47_104.., 1..))
    }
}

impl Default for HashParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strong_enough_is_what_asvs_says() {
        for (memory, passes, enough) in [
            (12_288, 3, true),
            (12_287, 3, false),
            (12_288, 2, false),
            (19_456, 2, true),
            (19_455, 2, false),
            (19_456, 1, false),
            (47_104, 1, true),
            (47_103, 1, false),
            (9_216, 4, false),
        ] {
            let params = HashParams::new(memory, passes, 1).unwrap();
            assert_eq!(params.is_strong_enough(), enough, "m={memory} t={passes}");
        }
        assert!(HashParams::DEFAULT.is_strong_enough());
        assert!(HashParams::STRONG.is_strong_enough());
    }

    #[test]
    fn refuses_what_argon2_cannot_do_or_the_machine_could_not_bear() {
        for (memory, passes, lanes) in [
            (7, 1, 1),
            (16, 0, 1),
            (16, 1, 0),
            (31, 1, 4),
            (1_048_577, 1, 1),
            (1024, 65, 1),
            (1024, 1, 65),
            (16, 1, u32::MAX),
        ] {
            assert_eq!(HashParams::new(memory, passes, lanes), Err(HashParamsError), "{memory} {passes} {lanes}");
        }
        assert!(HashParams::new(8, 1, 1).is_ok());
    }
}
