//! Requests on their way: sockets of 256 identifiers each, and what is to be sent again.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use radmfa::wire::{Code, MAX_PACKET, MaRule, SharedSecret, UpstreamReply, UpstreamRequest, number};

/// A request is sent again after this long, and again, with the same octets.
const RETRANSMIT: Duration = Duration::from_secs(1);
/// After so many times without an answer its login is lost.
const TRIES: u8 = 5;

/// A request without an answer yet, and what it belongs to.
struct Flight<T> {
    request: UpstreamRequest,
    /// When it was first sent.
    sent: Instant,
    tries: u8,
    what: T,
}

/// Where a flight is, and which one of those that were there.
#[derive(Clone, Copy)]
struct Place {
    socket: usize,
    identifier: u8,
    number: u64,
}

struct Gate<T> {
    socket: UdpSocket,
    /// By identifier, with the flight's number.
    flights: Vec<Option<(u64, Flight<T>)>>,
    /// Used again as late as can be, so that a late reply meets no other request.
    free: VecDeque<u8>,
}

/// An authentic reply.
pub struct Reply<T> {
    pub what: T,
    pub code: Code,
    pub state: Option<Box<[u8]>>,
    /// Since the request was first sent.
    pub took: Duration,
}

/// Everything in flight.
pub struct Flights<T> {
    gates: Vec<Gate<T>>,
    next_gate: usize,
    /// Sockets that are not read empty yet.
    readable: Vec<usize>,
    due: VecDeque<(Instant, Place)>,
    number: u64,
    count: usize,
    pub retransmits: u64,
    /// Datagrams that answered nothing, or were not authentic.
    pub strays: u64,
}

impl<T> Flights<T> {
    pub fn new(server: SocketAddr, sockets: usize) -> std::io::Result<Flights<T>> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let gate = |_| {
            let socket =
                socket2::Socket::new(socket2::Domain::for_address(server), socket2::Type::DGRAM, None)?;
            // Replies must not be lost here while this thread waits for its turn on a busy machine.
            socket.set_recv_buffer_size(4 << 20)?;
            socket.bind(&any.into())?;
            socket.connect(&server.into())?;
            socket.set_nonblocking(true)?;
            let flights = std::iter::repeat_with(|| None).take(256).collect();
            Ok(Gate { socket: socket.into(), flights, free: (0..=u8::MAX).collect() })
        };
        let gates = (0..sockets).map(gate).collect::<std::io::Result<_>>()?;
        Ok(Flights {
            gates,
            next_gate: 0,
            readable: Vec::new(),
            due: VecDeque::new(),
            number: 0,
            count: 0,
            retransmits: 0,
            strays: 0,
        })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn has_room(&self) -> bool {
        self.count < self.gates.len() * 256
    }

    /// Sends a request from the next socket, under an identifier that is free there; `build` makes it. The caller
    /// has asked whether there is room.
    pub fn send(&mut self, what: T, build: impl FnOnce(u8) -> UpstreamRequest) {
        let gates = self.gates.len();
        let socket = (self.next_gate..self.next_gate + gates)
            .map(|number| number % gates)
            .find(|&number| !self.gates[number].free.is_empty())
            .expect("the caller has asked for room");
        self.next_gate = (socket + 1) % gates;
        let gate = &mut self.gates[socket];
        let identifier = gate.free.pop_front().expect("it is not empty");
        let request = build(identifier);
        let sent = Instant::now();
        transmit(&gate.socket, &request.bytes);
        self.number += 1;
        self.count += 1;
        gate.flights[usize::from(identifier)] = Some((self.number, Flight { request, sent, tries: 1, what }));
        self.due.push_back((sent + RETRANSMIT, Place { socket, identifier, number: self.number }));
    }

    /// Sends again what is due at `now`; `lost` gets what has been sent often enough.
    pub fn retransmit(&mut self, now: Instant, mut lost: impl FnMut(T)) {
        while let Some(&(due, place)) = self.due.front().filter(|(due, _)| *due <= now) {
            self.due.pop_front();
            let gate = &mut self.gates[place.socket];
            let slot = &mut gate.flights[usize::from(place.identifier)];
            let Some((_, flight)) = slot.as_mut().filter(|(number, _)| *number == place.number) else {
                continue;
            };
            if flight.tries < TRIES {
                flight.tries += 1;
                self.retransmits += 1;
                transmit(&gate.socket, &flight.request.bytes);
                self.due.push_back((due.max(now) + RETRANSMIT, place));
            } else if let Some((_, flight)) = slot.take() {
                gate.free.push_back(place.identifier);
                self.count -= 1;
                lost(flight.what);
            }
        }
    }

    /// Waits until something can be read, at most until `until`.
    pub fn wait(&mut self, until: Instant) {
        let mut sockets: Vec<_> =
            self.gates.iter().map(|gate| PollFd::new(gate.socket.as_fd(), PollFlags::POLLIN)).collect();
        let left = until.saturating_duration_since(Instant::now());
        // Interrupted or not, the caller looks again.
        let _ = ppoll(&mut sockets, Some(TimeSpec::from_duration(left)), None);
        let readable = sockets.iter().enumerate().filter(|(_, socket)| socket.any().unwrap_or(false));
        self.readable = readable.map(|(number, _)| number).collect();
    }

    /// The next reply that is there and authentic; `None` when everything is read.
    pub fn next_reply(&mut self, secret: &SharedSecret) -> Option<Reply<T>> {
        let mut buffer = [0; MAX_PACKET];
        while let Some(&number) = self.readable.last() {
            let gate = &mut self.gates[number];
            // An ICMP error (nobody listens) reads as an error too; the request is sent again all the same.
            let Ok(length) = gate.socket.recv(&mut buffer) else {
                self.readable.pop();
                continue;
            };
            match gate.take(&buffer[..length], secret) {
                Some(reply) => {
                    self.count -= 1;
                    return Some(reply);
                }
                None => self.strays += 1,
            }
        }
        None
    }
}

impl<T> Gate<T> {
    /// Reads `datagram` as the reply to the flight that its identifier names; nothing changes when it is not.
    fn take(&mut self, datagram: &[u8], secret: &SharedSecret) -> Option<Reply<T>> {
        let &identifier = datagram.get(1)?;
        let slot = &mut self.flights[usize::from(identifier)];
        let (_, flight) = slot.as_ref()?;
        let asked = flight.request.authenticator;
        // FreeRADIUS 3.2.1 and radsecproxy do not sign their replies.
        let rule = MaRule::IfPresent;
        let reply = UpstreamReply::authenticate(datagram, identifier, &asked, secret, rule).ok()?;
        let (code, state) = (reply.code(), reply.attributes().first(number::STATE).map(Box::from));
        let (_, flight) = slot.take()?;
        self.free.push_back(identifier);
        Some(Reply { what: flight.what, code, state, took: flight.sent.elapsed() })
    }
}

/// A datagram that cannot be sent now is as good as lost on its way: it is sent again.
fn transmit(socket: &UdpSocket, octets: &[u8]) {
    let _ = socket.send(octets);
}
