//! The State of a primary's own challenge: which server asked, and the State that it gave.
//!
//! A State means nothing to any other server, so the answer goes back to the same one. This stays within our parked
//! login; a gateway never sees it.

use std::net::{IpAddr, SocketAddr};

/// A server's dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialog<'a> {
    pub(super) server: SocketAddr,
    pub(super) state: &'a [u8],
}

impl<'a> Dialog<'a> {
    /// 4 or 16 for the address's length, the address, two octets of port, the State.
    pub(super) fn encode(&self) -> Box<[u8]> {
        let mut octets = Vec::with_capacity(self.state.len() + 19);
        match self.server.ip() {
            IpAddr::V4(address) => {
                octets.push(4);
                octets.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                octets.push(16);
                octets.extend_from_slice(&address.octets());
            }
        }
        octets.extend_from_slice(&self.server.port().to_be_bytes());
        octets.extend_from_slice(self.state);
        octets.into()
    }

    /// The way back from [`Dialog::encode`].
    pub(super) fn decode(octets: &'a [u8]) -> Option<Dialog<'a>> {
        let (address, rest): (IpAddr, _) = match octets.split_first()? {
            (4, rest) => rest.split_first_chunk::<4>().map(|(address, rest)| ((*address).into(), rest))?,
            (16, rest) => rest.split_first_chunk::<16>().map(|(address, rest)| ((*address).into(), rest))?,
            _ => return None,
        };
        let (port, state) = rest.split_first_chunk()?;
        Some(Dialog { server: SocketAddr::new(address, u16::from_be_bytes(*port)), state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_reads_back_and_nothing_shorter_does() {
        for server in ["10.2.0.5:1812", "[2001:db8::5]:11812"] {
            let dialog = Dialog { server: server.parse().unwrap(), state: b"abc" };
            let octets = dialog.encode();
            assert_eq!(Dialog::decode(&octets), Some(dialog));
            assert_eq!(Dialog::decode(&octets[..octets.len() - 4]), None);
        }
        assert_eq!(Dialog::decode(b""), None);
        assert_eq!(Dialog::decode(b"\x05aaaaaaaaa"), None);
    }
}
