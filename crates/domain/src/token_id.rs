//! The `jti` of a person's access token (RFC 7519, section 4.1.7): 16 random bytes, and 8 that tie it to the person's epoch.
//!
//! So a token ends with the epoch it was issued in, to the moment, and nobody reads from it how often an account has changed. One
//! goes on: whoever removes an authenticator may go on to remove or add another with the same token.

use data_encoding::BASE64URL_NOPAD;

use crate::{app::App, error::Error, id::UserId, port::sealer::DigestPurpose, secret::Digest, user::User};

const RANDOM: usize = 16;
const STAMP: usize = 8;

impl App {
    /// One for a token that is issued to `user` now.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub(crate) fn new_token_id(&self, user: &User) -> Result<String, Error> {
        let mut id = [0; RANDOM + STAMP];
        let (random, stamp) = id.split_at_mut(RANDOM);
        self.entropy.fill(random)?;
        stamp.copy_from_slice(&self.stamp(random, user));
        Ok(BASE64URL_NOPAD.encode(&id))
    }

    /// Whether the token with this `jti` ended with an epoch of `user` that is over.
    pub(crate) fn is_void(&self, jti: &str, user: &User) -> bool {
        let of_this_epoch = BASE64URL_NOPAD.decode(jti.as_bytes()).is_ok_and(|id| {
            id.split_at_checked(RANDOM).is_some_and(|(random, stamp)| self.stamp(random, user) == stamp)
        });
        !of_this_epoch && user.spared != Some(self.spared(jti, &user.id, user.epoch))
    }

    /// What makes the token with this `jti` go on in `epoch`, though it was issued before.
    pub(crate) fn spared(&self, jti: &str, user: &UserId, epoch: u64) -> Digest {
        let parts = [b"spared", user.as_str().as_bytes(), &epoch.to_be_bytes(), jti.as_bytes()];
        self.sealer.keyed_digest(DigestPurpose::Integrity, &parts)
    }

    fn stamp(&self, random: &[u8], user: &User) -> [u8; STAMP] {
        let parts = [b"jti", user.id.as_str().as_bytes(), &user.epoch.to_be_bytes(), random];
        let digest = self.sealer.keyed_digest(DigestPurpose::Integrity, &parts);
        let mut stamp = [0; STAMP];
        stamp.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        stamp
    }
}
