//! Randomness from AWS-LC, which seeds itself from the operating system.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use countersign_domain::port::{PortError, entropy::Entropy};

/// The generator of AWS-LC; safe across forks and snapshots of virtual machines where the system tells of them.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The generator.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), PortError> {
        self.0.fill(buffer).map_err(|error| PortError::Unavailable("random generator", Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fills_the_whole_buffer_and_never_twice_the_same() {
        let entropy = SystemEntropy::new();
        let (mut one, mut two) = ([0; 64], [0; 64]);
        entropy.fill(&mut one).unwrap();
        entropy.fill(&mut two).unwrap();
        assert_ne!(one, two);
        assert!(one.chunks(8).all(|chunk| chunk != [0; 8]));
        entropy.fill(&mut []).unwrap();
    }
}
