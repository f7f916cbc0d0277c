//! The parser of opaque tokens: it never panics, and a changed token is not well formed.
#![no_main]

use std::sync::LazyLock;

use countersign_domain::opaque::{self, TokenKind};
use libfuzzer_sys::fuzz_target;

static TOKEN: LazyLock<String> = LazyLock::new(|| opaque::of_bytes(TokenKind::Mfa, &[0xa5; 38]).expose().clone());

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && opaque::is_well_formed(TokenKind::Mfa, text)
    {
        assert_eq!(text.len(), TOKEN.len(), "one length");
        assert!(text.starts_with(TokenKind::Mfa.prefix()), "one prefix");
    }
    // One changed character: the checksum, 32 bits of it, sees every error burst that short.
    if let [at, with, ..] = data {
        let mut changed = TOKEN.clone().into_bytes();
        let at = usize::from(*at) % changed.len();
        changed[at] = *with;
        if let Ok(changed) = String::from_utf8(changed) {
            assert_eq!(opaque::is_well_formed(TokenKind::Mfa, &changed), changed == *TOKEN);
        }
    }
});
