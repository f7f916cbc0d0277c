//! Refresh tokens, and tokens of remembered devices: derived from their family, so that who may have one again gets the same, and no store holds one.
//!
//! A token stands for `family (16) | generation (4) | HMAC-SHA-256 over family, generation and the family's salt (32)`.

use zeroize::Zeroizing;

use crate::{
    app::App,
    id::FamilyId,
    opaque::{self, REFRESH_BYTES, TokenKind},
    port::{
        refresh_store::{FamilyKind, RefreshFamily},
        sealer::DigestPurpose,
    },
    secret::{Digest, Secret},
};

const GENERATION_BYTES: usize = 4;

/// A token as it was presented. Only its family can tell whether it is one.
#[derive(Debug)]
pub(crate) struct PresentedRefreshToken {
    /// What its spelling says it is.
    kind: FamilyKind,
    /// The family it says it is of.
    pub family: FamilyId,
    /// The generation it says it is of.
    pub generation: u32,
    proof: Digest,
}

impl PresentedRefreshToken {
    /// `None`: it is none of ours, whatever is stored.
    pub(crate) fn parse(kind: FamilyKind, token: &str) -> Option<Self> {
        let bytes = opaque::bytes_of::<REFRESH_BYTES>(token_kind(kind), token)?;
        let (family, rest) = bytes.expose().split_first_chunk::<{ FamilyId::BYTES }>()?;
        let (generation, proof) = rest.split_first_chunk::<GENERATION_BYTES>()?;
        Some(Self {
            kind,
            family: FamilyId::new(*family),
            generation: u32::from_be_bytes(*generation),
            proof: Digest::new(proof.try_into().ok()?),
        })
    }

    /// Whether we have issued it, as what it is presented as, now or earlier: anybody can spell the bytes of one kind as the other.
    pub(crate) fn is_of(&self, family: &RefreshFamily, app: &App) -> bool {
        // In constant time: see [`Digest`].
        self.kind == family.kind
            && self.generation <= family.generation
            && app.refresh_proof(family, self.generation) == self.proof
    }
}

impl App {
    /// The token of `generation`.
    pub(crate) fn refresh_token(&self, family: &RefreshFamily, generation: u32) -> Secret<String> {
        let (generation_bytes, proof) = (generation.to_be_bytes(), self.refresh_proof(family, generation));
        let parts = family.id.as_bytes().iter().chain(&generation_bytes).chain(proof.as_bytes());
        let mut bytes = Zeroizing::new([0; REFRESH_BYTES]);
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = *part;
        }
        opaque::of_bytes(token_kind(family.kind), &bytes)
    }

    fn refresh_proof(&self, family: &RefreshFamily, generation: u32) -> Digest {
        let parts: [&[u8]; 3] = [family.id.as_bytes(), &generation.to_be_bytes(), &family.salt];
        let purpose = match family.kind {
            FamilyKind::Refresh => DigestPurpose::RefreshToken,
            FamilyKind::Device => DigestPurpose::RememberedDevice,
        };
        self.sealer.keyed_digest(purpose, &parts)
    }
}

const fn token_kind(kind: FamilyKind) -> TokenKind {
    match kind {
        FamilyKind::Refresh => TokenKind::Refresh,
        FamilyKind::Device => TokenKind::RememberedDevice,
    }
}
