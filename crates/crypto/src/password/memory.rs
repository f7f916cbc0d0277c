//! Argon2id itself, in memory that is used again.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use countersign_domain::port::PortError;
use zeroize::Zeroize as _;

use super::params::HashParams;

/// How many blocks are reserved at least, 33 MiB. What is never written to takes addresses but no memory.
///
/// Up to 32 MiB, glibc may put them on its heap, where it reuses aligned blocks of this size badly and gives none back: a
/// thread that falls idle now and then was seen to end up with 200 MiB. What is larger it always maps on its own, and unmaps
/// when freed.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// The memory a hash is computed in. It is kept between hashes, because taking 19 MiB anew makes one noticeably slower.
///
/// Each hash overwrites what the one before left; dropping wipes it.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// No memory yet; the first hash takes what it needs.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gives memory beyond what `params` need back, so that one expensive import does not stay.
    pub(super) fn trim(&mut self, params: HashParams) {
        let blocks = params.memory_kib() as usize;
        if self.0.len() > blocks {
            *self = Self::new();
        }
    }

    fn blocks(&mut self, count: usize) -> Result<&mut [Block], PortError> {
        if self.0.len() < count {
            // Replaced, not grown: growing would copy, and leave what was there unwiped.
            *self = Self::new();
            self.0
                .try_reserve_exact(count.max(RESERVED_BLOCKS))
                .map_err(|error| PortError::Unavailable("memory for password hashing", Box::new(error)))?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0)
    }
}

impl Drop for HashMemory {
    fn drop(&mut self) {
        // The blocks, not the vector: that would write to the reserve too, and so make it real.
        self.0.iter_mut().zeroize();
    }
}

impl std::fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashMemory({} KiB)", self.0.len())
    }
}

/// Argon2id version 1.3 (RFC 9106) of `password` with `salt` into `output`: the work one login costs, without pool or pepper.
///
/// # Errors
///
/// [`PortError::Unavailable`] if there is no memory, or if `salt` is shorter than 8 bytes or `output` than 4.
pub fn argon2id_raw(
    memory: &mut HashMemory,
    params: HashParams,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), PortError> {
    let refused = |error: argon2::Error| PortError::Unavailable("argon2", error.to_string().into());
    let params =
        Params::new(params.memory_kib(), params.passes(), params.lanes(), Some(output.len())).map_err(refused)?;
    let blocks = memory.blocks(params.block_count())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, output, blocks)
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use argon2::{AssociatedData, ParamsBuilder};
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn the_library_computes_the_vector_of_rfc_9106() {
        // Section 5.3. Secret and associated data are not offered by `argon2id_raw`.
        let mut params = ParamsBuilder::new();
        params.m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap());
        let params = params.build().unwrap();
        let mut memory = HashMemory::new();
        let blocks = memory.blocks(params.block_count()).unwrap();
        let mut output = [0; 32];
        Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params)
            .unwrap()
            .hash_password_into_with_memory(&[1; 32], &[2; 16], &mut output, blocks)
            .unwrap();
        assert_eq!(HEXLOWER.encode(&output), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    #[test]
    fn computes_the_vectors_of_the_reference_implementation_in_used_memory() {
        let mut memory = HashMemory::new();
        for (memory_kib, passes, lanes, expected) in [
            (256, 2, 2, "bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"),
            (256, 2, 1, "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
            (65_536, 2, 1, "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
            (256, 2, 1, "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
        ] {
            let params = HashParams::new(memory_kib, passes, lanes).unwrap();
            let mut output = [0; 32];
            argon2id_raw(&mut memory, params, b"password", b"somesalt", &mut output).unwrap();
            assert_eq!(data_encoding::BASE64_NOPAD.encode(&output), expected);
        }
        assert_eq!(format!("{memory:?}"), "HashMemory(65536 KiB)");
        memory.trim(HashParams::DEFAULT);
        assert_eq!(format!("{memory:?}"), "HashMemory(0 KiB)");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_is_dropped_goes_back_to_the_system() {
        let resident_kib = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u32>().unwrap()
        };
        let before = resident_kib();
        let mut after = Vec::new();
        for _ in 0..24 {
            let (params, mut memory) = (HashParams::new(19_456, 1, 1).unwrap(), HashMemory::new());
            argon2id_raw(&mut memory, params, b"password", b"somesalt", &mut [0; 32]).unwrap();
            drop(memory);
            after.push(resident_kib());
        }
        // The least of several readings, because other tests may run in this process.
        let after = after.split_off(16).into_iter().min().unwrap();
        assert!(after < before + 128 * 1024, "{before} KiB before, {after} KiB after");
    }

    #[test]
    fn refuses_a_salt_that_is_too_short() {
        let params = HashParams::new(8, 1, 1).unwrap();
        assert!(argon2id_raw(&mut HashMemory::new(), params, b"password", b"short", &mut [0; 32]).is_err());
    }
}
