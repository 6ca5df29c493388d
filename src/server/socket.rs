//! UDP sockets that a worker serves: shared by the workers, and answering from the address that was asked.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::udp::{TOGETHER_MAX, Together, send_one};

/// What the kernel may hold for a socket, in octets; it grants less where its limit is lower.
const BUFFER: usize = 4 << 20;

/// The most replies that one call sends.
const BATCH: usize = 64;

thread_local! {
    static HEADERS: RefCell<MultiHeaders<SockaddrStorage>> =
        RefCell::new(MultiHeaders::preallocate(BATCH, None));
}

/// A reply on its way.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) datagram: Arc<[u8]>,
    /// The address that was asked.
    pub(super) local: SocketAddr,
    pub(super) target: SocketAddr,
}

impl Letter {
    /// Whether both can leave together.
    fn is_like(&self, other: &Letter) -> bool {
        self.target == other.target && self.datagram.len() == other.datagram.len()
    }
}

/// A listening socket of one worker.
pub(super) struct Listening {
    socket: UdpSocket,
    bound: SocketAddr,
    /// Bound to every address: each datagram says which one was asked.
    any: bool,
    together: Together,
}

/// Binds `address` once without sharing it, so that a second server is refused instead of taking half of the packets.
/// Answers what it was bound to: a port that the system chose in place of port 0.
pub(super) fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    let bound = make(address, false)?.local_addr()?;
    bound.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn make(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    if address.ip().is_unspecified() {
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Listening {
    /// Binds `address`, shared with the other workers. To be called inside the worker's runtime.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Listening> {
        let socket = UdpSocket::from_std(make(address, true)?.into())?;
        let bound = socket.local_addr()?;
        Ok(Listening { socket, bound, any: bound.ip().is_unspecified(), together: Together::default() })
    }

    /// Whether a reply from `local` leaves through this socket.
    pub(super) fn serves(&self, local: SocketAddr) -> bool {
        self.bound == local
            || (self.any
                && self.bound.port() == local.port()
                && (self.bound.is_ipv6() || self.bound.is_ipv4() == local.ip().to_canonical().is_ipv4()))
    }

    /// Waits until there may be a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes a datagram into `buffer`: its length, its source, and the address it was sent to.
    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, SocketAddr)> {
        if !self.any {
            let (length, source) = self.socket.try_recv_from(buffer)?;
            return Ok((length, source, self.bound));
        }
        self.socket.try_io(Interest::READABLE, || {
            let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
            let mut slices = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                MsgFlags::MSG_DONTWAIT,
            )?;
            let source = message.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
            let mut local = self.bound;
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        local.set_ip(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local.set_ip(IpAddr::from(info.ipi6_addr.s6_addr));
                    }
                    _ => {}
                }
            }
            Ok((message.bytes, source, local))
        })
    }

    /// Sends replies from the address that was asked, the same for all of them. Those of one length for one target stand
    /// together and leave together, the rest in one call where they are the socket's own. One that the kernel will not
    /// take is lost; `lost` hears of each.
    pub(super) fn send_all(&self, letters: &[Letter], mut lost: impl FnMut(&Letter, &io::Error)) {
        let mut single: Vec<&Letter> = Vec::with_capacity(letters.len().min(BATCH));
        for alike in letters.chunk_by(Letter::is_like) {
            for some in alike.chunks(TOGETHER_MAX) {
                if some.len() == 1 || !self.send_together(some) {
                    single.extend(some);
                }
            }
        }
        for some in single.chunks(BATCH) {
            let sent = if self.any || some.len() < 2 { 0 } else { self.send_batch(some) };
            for letter in some.get(sent..).unwrap_or_default() {
                if let Err(fault) = self.try_send(letter) {
                    lost(letter, &fault);
                }
            }
        }
    }

    /// Sends replies of one length to one target; false where they have to go each by itself.
    fn send_together(&self, letters: &[Letter]) -> bool {
        let Some(Letter { datagram, local, target }) = letters.first() else { return true };
        if !self.together.takes(datagram.len()) {
            return false;
        }
        let slices: Vec<IoSlice<'_>> = letters.iter().map(|letter| IoSlice::new(&letter.datagram)).collect();
        let from = self.any.then(|| local.ip());
        self.together.send(&self.socket, from, Some(*target), &slices).is_ok()
    }

    /// Sends up to [`BATCH`] replies in one call; how many of them went.
    fn send_batch(&self, letters: &[&Letter]) -> usize {
        let slices: Vec<[IoSlice<'_>; 1]> =
            letters.iter().map(|letter| [IoSlice::new(&letter.datagram)]).collect();
        let targets: Vec<Option<SockaddrStorage>> =
            letters.iter().map(|letter| Some(SockaddrStorage::from(letter.target))).collect();
        let sent = self.socket.try_io(Interest::WRITABLE, || {
            HEADERS.with_borrow_mut(|headers| {
                let flags = MsgFlags::MSG_DONTWAIT;
                Ok(sendmmsg(self.socket.as_raw_fd(), headers, &slices, &targets, [], flags)?.count())
            })
        });
        // What was not sent is sent one by one, and that says what is wrong.
        sent.unwrap_or(0)
    }

    /// Sends a reply from the address that was asked.
    fn try_send(&self, letter: &Letter) -> io::Result<()> {
        let from = self.any.then(|| letter.local.ip());
        self.socket.try_io(Interest::WRITABLE, || {
            send_one(&self.socket, from, Some(letter.target), &letter.datagram)
        })
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
}
