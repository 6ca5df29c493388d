//! One request on its way to a server, and the source port that it left from.
//!
//! Invariants: a packet is sent again as it was, octet for octet, from the same port; what came of a flight is written
//! once, by an answer that authenticated or by its time running out.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::identifiers::Identifiers;
use super::retransmit::Schedule;
use super::watch::Watcher;
use crate::base::time::Tick;
use crate::engine::question::PrimaryAnswer;
use crate::udp::Together;
use crate::wire::UpstreamRequest;

/// How many identifiers a port has.
const IDENTIFIERS: usize = 256;
/// Later than any moment.
const NEVER: Tick = Tick(u64::MAX);

/// What somebody who asked is told.
#[derive(Debug)]
pub(super) enum News {
    /// The server's answer.
    Answer(PrimaryAnswer),
    /// It is time to ask the next server too.
    MoveOn,
    /// It is too late for any answer.
    TimedOut,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A login waits for the answer.
    Login,
    /// A Status-Server probe: nobody waits.
    Probe,
}

/// A request on its way.
pub(super) struct Flight {
    pub(super) request: UpstreamRequest,
    pub(super) purpose: Purpose,
    pub(super) schedule: Schedule,
    pub(super) began: Tick,
    /// When to ask another server, once.
    pub(super) move_on: Option<Tick>,
    pub(super) give_up: Tick,
    pub(super) answered: bool,
    /// Nothing is left to be done about it: it was answered, or gave up.
    pub(super) finished: bool,
    /// Its silence was counted against the server.
    pub(super) counted: bool,
    pub(super) news: Option<News>,
    pub(super) waker: Option<Waker>,
    /// Whoever watches the login.
    pub(super) watcher: Watcher,
}

impl Flight {
    /// When something is to be done about it next.
    fn due(&self) -> Tick {
        if self.finished {
            return NEVER;
        }
        let sooner = |moment: Tick, other: Option<Tick>| other.map_or(moment, |other| moment.min(other));
        sooner(sooner(self.give_up, self.move_on), self.schedule.next())
    }

    /// Tells whoever waits.
    pub(super) fn tell(&mut self, news: News) -> Option<Waker> {
        self.news = Some(news);
        self.waker.take()
    }
}

/// Where a flight is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) lane: usize,
    pub(super) identifier: u8,
}

/// A source port, connected to one server, and what left from it.
pub(super) struct Lane {
    /// The server's place in its list.
    pub(super) server: usize,
    /// No two lanes of a worker have the same, also where one took the place of another.
    pub(super) serial: u64,
    pub(super) port: Port,
    /// Since when nothing is in flight.
    pub(super) idle_since: Tick,
    identifiers: Identifiers,
    flights: Box<[Option<Flight>]>,
    /// When something is to be done about each: apart from the flights, so that a sweep reads two kilobytes.
    due: Box<[Tick; IDENTIFIERS]>,
    busy: usize,
}

impl Lane {
    pub(super) fn new(server: usize, serial: u64, port: Port, now: Tick) -> Lane {
        Lane {
            server,
            serial,
            port,
            idle_since: now,
            identifiers: Identifiers::new(),
            flights: std::iter::repeat_with(|| None).take(IDENTIFIERS).collect(),
            due: Box::new([NEVER; IDENTIFIERS]),
            busy: 0,
        }
    }

    /// How many flights there are.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// An identifier for a flight; to be given to [`Lane::launch`] or [`Lane::give_back`].
    pub(super) fn identifier(&mut self, now: Tick) -> Option<u8> {
        self.identifiers.take(now)
    }

    /// Takes an identifier back that nothing was sent under.
    pub(super) fn give_back(&mut self, identifier: u8) {
        self.identifiers.free(identifier);
    }

    /// Keeps account of a flight under the identifier of its request.
    pub(super) fn launch(&mut self, flight: Flight) {
        let identifier = flight.request.identifier;
        self.busy += 1;
        self.plan(identifier, flight.due());
        if let Some(slot) = self.flights.get_mut(usize::from(identifier)) {
            debug_assert!(slot.is_none(), "an identifier is with one request at a time");
            *slot = Some(flight);
        }
    }

    /// Sends the packets of these flights, all of one length, in one call; false where each has to go by itself.
    pub(super) fn send_together(&self, identifiers: impl Iterator<Item = u8>) -> bool {
        let flights =
            identifiers.filter_map(|identifier| self.flights.get(usize::from(identifier))?.as_ref());
        let packets: Vec<IoSlice<'_>> = flights.map(|flight| IoSlice::new(&flight.request.bytes)).collect();
        packets.len() > 1
            && self.port.together.takes(packets.first().map_or(0, |packet| packet.len()))
            && self.port.together.send(&*self.port.socket, None, None, &packets).is_ok()
    }

    /// The flight under `identifier`.
    pub(super) fn flight(&mut self, identifier: u8) -> Option<&mut Flight> {
        self.flights.get_mut(usize::from(identifier)).and_then(Option::as_mut)
    }

    /// Takes note that a flight's moments changed.
    pub(super) fn changed(&mut self, identifier: u8) {
        let due = self.flight(identifier).map_or(NEVER, |flight| flight.due());
        self.plan(identifier, due);
    }

    /// Ends a flight. Its identifier is free at once when it was sent once and answered.
    pub(super) fn land(&mut self, identifier: u8, now: Tick) -> Option<Flight> {
        let flight = self.flights.get_mut(usize::from(identifier))?.take()?;
        self.plan(identifier, NEVER);
        self.busy -= 1;
        if flight.answered && flight.schedule.tries() == 1 {
            self.identifiers.free(identifier);
        } else {
            self.identifiers.rest(identifier, now);
        }
        Some(flight)
    }

    /// The identifiers of the flights about which something is to be done `now`.
    pub(super) fn due(&self, now: Tick) -> Vec<u8> {
        if self.busy == 0 {
            return Vec::new();
        }
        (0..=255)
            .zip(self.due.iter())
            .filter(|(_, due)| **due <= now)
            .map(|(identifier, _)| identifier)
            .collect()
    }

    fn plan(&mut self, identifier: u8, due: Tick) {
        if let Some(moment) = self.due.get_mut(usize::from(identifier)) {
            *moment = due;
        }
    }
}

/// A UDP socket that hears one server alone, and the task that listens on it; closed when dropped.
pub(super) struct Port {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) together: Together,
    /// Listens for as long as the port is open.
    pub(super) _listener: Task,
}

/// Opens a socket on a port of the system's choice that talks to `server` alone. Within a runtime.
pub(super) fn connect(source: Option<IpAddr>, server: SocketAddr) -> io::Result<UdpSocket> {
    let source = source.unwrap_or_else(|| match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // 256 answers may come at once; the system cuts what it finds too much.
    socket.set_recv_buffer_size(512 * 1024)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
}

/// How a sending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Gone,
    /// The socket has no room now.
    Full,
    Failed(io::ErrorKind),
}

/// Sends at once or not at all.
pub(super) fn send(socket: &UdpSocket, datagram: &[u8]) -> Sending {
    // Past the runtime, which believes that a new socket cannot send before it heard of it.
    let socket = SockRef::from(socket);
    // The error of an earlier datagram (ICMP) is reported by the next sending, instead of it.
    for _ in 0..3 {
        match socket.send(datagram) {
            Ok(_) => return Sending::Gone,
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Sending::Full,
            Err(fault) if is_of_earlier(&fault) => {}
            Err(fault) => return Sending::Failed(fault.kind()),
        }
    }
    Sending::Failed(io::ErrorKind::ConnectionRefused)
}

/// Whether the fault says something of a datagram sent before, not of the socket.
pub(super) fn is_of_earlier(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted)
}

/// A task that ends with its owner.
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
