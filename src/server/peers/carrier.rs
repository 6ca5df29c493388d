//! What servers say to each other, as octets: in the clear here, sealed and cut into attributes when it travels.
//!
//! Everything is versioned; what has another version, too little or too much is not read. Only what opened under a peer's
//! key is ever read here, but a peer may be of another version, or broken.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use zeroize::Zeroizing;

use super::sealing::OVERHEAD;
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::store::trail::Checkpoint;
use crate::wire::{Attribute, AttributeList, MAX_PACKET, VALUE_MAX, number};

const VERSION: u8 = 1;
/// A request has been passed on so often when its owner gets it. It goes no further.
pub(super) const HOP: u8 = 1;
/// The most octets of attributes in a packet within a carrier. A carrier of 4,096 has room for 16 attributes of 253, less
/// what sealing, heads and signatures take.
pub(super) const INNER_MAX: usize = 3800;

/// What goes around the attributes of a packet within: its head and signature, and what stands before it ([`Asked`]).
const AROUND: usize = 20 + 18 + 3 + 8 + 16 + 2 + 65;
/// A carrier's own head, signature, and the heads of its 16 attributes.
const CARRIER: usize = 20 + 18 + 16 * 2;
const _: () = assert!(INNER_MAX + AROUND + OVERHEAD <= 16 * VALUE_MAX, "it takes 16 attributes");
const _: () = assert!(INNER_MAX + AROUND + OVERHEAD + CARRIER <= MAX_PACKET, "a carrier has room");

/// A request that is passed on to the server that has its login.
#[derive(Debug)]
pub(super) struct Asked {
    /// How often it was passed on.
    pub(super) hop: u8,
    /// Whether the gateway signed it.
    pub(super) signed: bool,
    /// When it was passed on, by the sender's clock.
    pub(super) time: UnixTime,
    /// Where the gateway asked from.
    pub(super) source: SocketAddr,
    /// The client, by the name that both servers know it by.
    pub(super) client: Label,
    /// An Access-Request under the peers' secret.
    pub(super) packet: Zeroizing<Vec<u8>>,
}

/// The owner's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// An Accept, Reject or Challenge under the peers' secret.
    Reply(Vec<u8>),
    /// It has no such client.
    ClientUnknown,
    /// The clocks lie too far apart; the owner's.
    ClocksApart(UnixTime),
}

/// Who are you?
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Who asks.
    pub(super) from: Label,
    /// Which of the clients to begin with.
    pub(super) skip: u32,
}

/// The answer to that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) name: Label,
    pub(super) version: String,
    pub(super) time: UnixTime,
    /// Whether it hands answers to other servers' challenges on.
    pub(super) relays: bool,
    /// How many clients it has.
    pub(super) total: u32,
    /// Some of them, by name, and what stands for their policies.
    pub(super) clients: Vec<(Label, [u8; 8])>,
}

/// A server's checkpoints of its audit trail.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// This is its newest.
    Tell(Checkpoint),
    /// Which of it are known from before this row?
    Recall { before: u64 },
}

/// The answer to that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Witnessed {
    /// These are: at most [`CHECKPOINTS_MAX`], newest first. None to what was told.
    Known(Vec<Checkpoint>),
}

/// Checkpoints that fit into one answer.
pub(super) const CHECKPOINTS_MAX: usize = (INNER_MAX - 1) / Checkpoint::OCTETS;

impl Witness {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Witness::Tell(checkpoint) => [&[VERSION, 1][..], &checkpoint.to_octets()].concat(),
            Witness::Recall { before } => [&[VERSION, 2][..], &before.to_be_bytes()].concat(),
        }
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Witness> {
        let mut reader = Reader::of(octets)?;
        let witness = match reader.array()? {
            [1] => Witness::Tell(Checkpoint::from_octets(&reader.array()?)),
            [2] => Witness::Recall { before: u64::from_be_bytes(reader.array()?) },
            _ => return None,
        };
        reader.end(witness)
    }
}

impl Witnessed {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Witnessed::Known(known) = self;
        let mut out = vec![VERSION];
        for checkpoint in known.iter().take(CHECKPOINTS_MAX) {
            out.extend_from_slice(&checkpoint.to_octets());
        }
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Witnessed> {
        let mut reader = Reader::of(octets)?;
        let mut known = Vec::new();
        while !reader.0.is_empty() {
            known.push(Checkpoint::from_octets(&reader.array()?));
        }
        Some(Witnessed::Known(known))
    }
}

impl Asked {
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let IpAddr::V6(address) = widened(self.source.ip()) else { return Zeroizing::default() };
        let mut out = Zeroizing::new(Vec::with_capacity(128 + self.packet.len()));
        out.extend_from_slice(&[VERSION, self.hop, self.signed.into()]);
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&address.octets());
        out.extend_from_slice(&self.source.port().to_be_bytes());
        push_text(&mut out, self.client.as_str());
        out.extend_from_slice(&self.packet);
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Asked> {
        let mut reader = Reader::of(octets)?;
        let [hop, signed] = reader.array()?;
        let time = UnixTime(u64::from_be_bytes(reader.array()?));
        let address = Ipv6Addr::from(reader.array::<16>()?);
        let port = u16::from_be_bytes(reader.array()?);
        let client = reader.label()?;
        let source = SocketAddr::new(IpAddr::V6(address).to_canonical(), port);
        let packet = Zeroizing::new(reader.0.to_vec());
        Some(Asked { hop, signed: signed == 1, time, source, client, packet })
    }
}

impl Answered {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Answered::Reply(packet) => {
                out.push(1);
                out.extend_from_slice(packet);
            }
            Answered::ClientUnknown => out.push(2),
            Answered::ClocksApart(time) => {
                out.push(3);
                out.extend_from_slice(&time.0.to_be_bytes());
            }
        }
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Answered> {
        let mut reader = Reader::of(octets)?;
        match reader.array()? {
            [1] => Some(Answered::Reply(reader.0.to_vec())),
            [2] => reader.end(Answered::ClientUnknown),
            [3] => {
                let time = UnixTime(u64::from_be_bytes(reader.array()?));
                reader.end(Answered::ClocksApart(time))
            }
            _ => None,
        }
    }
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push_text(&mut out, self.from.as_str());
        out.extend_from_slice(&self.skip.to_be_bytes());
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Hello> {
        let mut reader = Reader::of(octets)?;
        let from = reader.label()?;
        let skip = u32::from_be_bytes(reader.array()?);
        reader.end(Hello { from, skip })
    }
}

impl Greeting {
    /// With as many of its clients as fit.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push_text(&mut out, self.name.as_str());
        push_text(&mut out, &self.version);
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.push(self.relays.into());
        out.extend_from_slice(&self.total.to_be_bytes());
        for (name, digest) in &self.clients {
            if out.len() + 1 + name.as_str().len() + digest.len() > INNER_MAX {
                break;
            }
            push_text(&mut out, name.as_str());
            out.extend_from_slice(digest);
        }
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Greeting> {
        let mut reader = Reader::of(octets)?;
        let name = reader.label()?;
        let version = reader.text()?.chars().filter(char::is_ascii_graphic).collect();
        let time = UnixTime(u64::from_be_bytes(reader.array()?));
        let [relays] = reader.array()?;
        let total = u32::from_be_bytes(reader.array()?);
        let mut clients = Vec::new();
        while !reader.0.is_empty() {
            clients.push((reader.label()?, reader.array()?));
        }
        Some(Greeting { name, version, time, relays: relays == 1, total, clients })
    }
}

/// Cuts sealed octets into attributes.
pub(super) fn pack(sealed: &[u8]) -> AttributeList {
    let mut list = AttributeList::new();
    for piece in sealed.chunks(VALUE_MAX) {
        #[expect(clippy::expect_used, reason = "a piece has at most as many octets as an attribute takes")]
        list.push(number::RELAY, piece).expect("a piece fits");
    }
    list
}

/// Puts them together again.
pub(super) fn unpack<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> Vec<u8> {
    attributes
        .filter(|attribute| attribute.number() == number::RELAY)
        .flat_map(|attribute| attribute.value())
        .copied()
        .collect()
}

fn widened(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}

/// Appends a text of at most 255 octets behind its length; what is longer is cut.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend(text.bytes().take(length.into()));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What follows the version.
    fn of(octets: &'a [u8]) -> Option<Reader<'a>> {
        octets.strip_prefix(&[VERSION]).map(Reader)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [length] = self.array()?;
        let (text, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn label(&mut self) -> Option<Label> {
        Label::new(self.text()?).ok()
    }

    /// `whole`, if nothing is left.
    fn end<T>(&self, whole: T) -> Option<T> {
        self.0.is_empty().then_some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    #[test]
    fn a_request_reads_back_with_the_gateways_address_in_its_own_family() {
        for source in ["192.0.2.1:1", "[2001:db8::1]:65535"] {
            let asked = Asked {
                hop: HOP,
                signed: true,
                time: UnixTime(1_800_000_000_123),
                source: source.parse().unwrap(),
                client: label("nas"),
                packet: Zeroizing::new(b"packet".to_vec()),
            };
            let encoded = asked.encode();
            let read = Asked::decode(&encoded).unwrap();
            assert_eq!((read.hop, read.signed, read.time), (asked.hop, true, asked.time));
            assert_eq!(
                (read.source, &read.client, &read.packet),
                (asked.source, &asked.client, &asked.packet)
            );
            for length in 0..encoded.len() - asked.packet.len() {
                assert!(Asked::decode(&encoded[..length]).is_none(), "{length} octets");
            }
            assert!(Asked::decode(&[&[2], &encoded[1..]].concat()).is_none());
        }
    }

    #[test]
    fn answers_read_back_and_nothing_else_does() {
        for answered in [
            Answered::Reply(b"reply".to_vec()),
            Answered::ClientUnknown,
            Answered::ClocksApart(UnixTime(1_800_000_000_123)),
        ] {
            assert_eq!(Answered::decode(&answered.encode()), Some(answered));
        }
        for wrong in [&[][..], &[1], &[1, 0], &[1, 4], &[1, 2, 0], &[1, 3, 1], &[2, 2]] {
            assert_eq!(Answered::decode(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_greeting_holds_as_many_clients_as_fit_and_says_how_many_there_are() {
        let clients: Vec<_> =
            (0..200_u8).map(|number| (label(&format!("gateway-{number}")), [number; 8])).collect();
        let greeting = Greeting {
            name: label("mfa-a"),
            version: "0.1.0".into(),
            time: UnixTime(7),
            relays: true,
            total: 200,
            clients: clients.clone(),
        };
        let encoded = greeting.encode();
        assert!(encoded.len() <= INNER_MAX);
        let read = Greeting::decode(&encoded).unwrap();
        assert_eq!((read.total, &read.clients[..]), (200, &clients[..read.clients.len()]));
        assert!(read.clients.len() > 150);
        let hello = Hello { from: label("mfa-b"), skip: 150 };
        assert_eq!(Hello::decode(&hello.encode()), Some(hello));
    }

    #[test]
    fn checkpoints_read_back_and_nothing_else_does() {
        let checkpoint = Checkpoint::from_octets(&std::array::from_fn(|place| u8::try_from(place).unwrap()));
        for witness in [Witness::Tell(checkpoint.clone()), Witness::Recall { before: 7 }] {
            assert_eq!(Witness::decode(&witness.encode()), Some(witness));
        }
        for wrong in [
            &[][..],
            &[1],
            &[1, 1, 0],
            &[1, 3],
            &[2, 2, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Witness::decode(wrong), None, "{wrong:?}");
        }
        let many = Witnessed::Known(vec![checkpoint; CHECKPOINTS_MAX + 1]).encode();
        assert!(many.len() <= INNER_MAX);
        let Some(Witnessed::Known(known)) = Witnessed::decode(&many) else { panic!("it reads back") };
        assert_eq!(known.len(), CHECKPOINTS_MAX);
        assert_eq!(Witnessed::decode(&many[..many.len() - 1]), None);
    }

    #[test]
    fn what_is_cut_into_attributes_comes_together_again() {
        for length in [0, 1, VALUE_MAX, VALUE_MAX + 1, 4 * VALUE_MAX] {
            let octets: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            assert_eq!(unpack(pack(&octets).plain_attributes()), octets);
        }
    }
}
