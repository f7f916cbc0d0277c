//! Whose address it is: the peer's, or the one our own proxies vouch for.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// The address of the person's program.
///
/// `X-Forwarded-For` is believed only from a trusted proxy. Read from the right, each hop was written by the one after it:
/// the first that is not trusted is the client. A hop on that way that is no address makes the header worthless, and the
/// peer's address counts.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &dyn Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return peer;
    }
    let mut nearest = peer;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else { return peer };
        for hop in line.rsplit(',') {
            let Some(address) = hop_address(hop.trim()) else { return peer };
            nearest = address;
            if !trusted(address) {
                return nearest;
            }
        }
    }
    nearest
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:567`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resolve(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(line).unwrap());
        }
        let trusted = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.segments()[0] == 0xfd00,
        };
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn resolves_every_spelling_of_the_header() {
        let cases: [(&str, &[&[u8]], &str); 24] = [
            ("9.9.9.9", &[], "9.9.9.9"),
            ("9.9.9.9", &[b"1.1.1.1"], "9.9.9.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &[b"  1.1.1.1  "], "1.1.1.1"),
            ("10.0.0.1", &[b"1.1.1.1, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &[b"1.1.1.1,2.2.2.2,10.0.0.2"], "2.2.2.2"),
            ("10.0.0.1", &[b"1.1.1.1", b"2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &[b"1.1.1.1", b"10.0.0.3"], "1.1.1.1"),
            ("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[b"1.1.1.1:8080"], "1.1.1.1"),
            ("10.0.0.1", &[b"[2001:db8::1]:8080"], "2001:db8::1"),
            ("10.0.0.1", &[b"[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &[b"2001:DB8::1"], "2001:db8::1"),
            ("10.0.0.1", &[b"::ffff:1.1.1.1"], "1.1.1.1"),
            ("::ffff:10.0.0.1", &[b"1.1.1.1"], "1.1.1.1"),
            ("fd00::1", &[b"1.1.1.1, fd00::2"], "1.1.1.1"),
            ("10.0.0.1", &[b"unknown"], "10.0.0.1"),
            ("10.0.0.1", &[b"unknown, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &[b"1.1.1.1, unknown, 10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", &[b""], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1,"], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.256"], "10.0.0.1"),
            ("10.0.0.1", &[b"1.1.1.1 \xff"], "10.0.0.1"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(resolve(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
