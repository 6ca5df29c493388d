//! Datagrams that leave together.
//!
//! The way of a datagram through the kernel costs more than its contents did. Datagrams of one length for one target go
//! that way once, as one buffer that the kernel cuts up at its end (UDP segmentation offload, Linux 4.18). Who cannot be
//! served so is served one by one: nothing is lost by trying.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// The most datagrams that go together (the kernel's own limit).
pub const TOGETHER_MAX: usize = 64;
/// The longest of them, in octets: with its headers it fits into the packets of any usual network.
const LENGTH_MAX: usize = 1_200;

/// Whether a socket's datagrams may go together: until its kernel or network device says no.
#[derive(Debug)]
pub struct Together(AtomicBool);

impl Default for Together {
    fn default() -> Together {
        Together(AtomicBool::new(true))
    }
}

impl Together {
    /// Whether datagrams of this length may go together at all.
    pub fn takes(&self, length: usize) -> bool {
        (1..=LENGTH_MAX).contains(&length) && self.0.load(Relaxed)
    }

    /// Sends 2 to [`TOGETHER_MAX`] datagrams, all of one length that [`Together::takes`], to one target, which a connected
    /// socket has already. All of them are gone, or none.
    pub fn send(
        &self,
        socket: &impl AsRawFd,
        from: Option<IpAddr>,
        target: Option<SocketAddr>,
        datagrams: &[IoSlice<'_>],
    ) -> io::Result<()> {
        let length = datagrams.first().map_or(0, |datagram| datagram.len());
        let Ok(segment) = u16::try_from(length) else { return Err(io::ErrorKind::InvalidInput.into()) };
        match send(socket, from, target, datagrams, Some(&segment)) {
            Ok(()) => Ok(()),
            Err(fault) => {
                // Of what is wrong for the moment, another try may know nothing.
                if matches!(fault, Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT) {
                    self.0.store(false, Relaxed);
                }
                Err(fault.into())
            }
        }
    }
}

/// Sends one datagram, from the address that is given where one is.
pub fn send_one(
    socket: &impl AsRawFd,
    from: Option<IpAddr>,
    target: Option<SocketAddr>,
    datagram: &[u8],
) -> io::Result<()> {
    Ok(send(socket, from, target, &[IoSlice::new(datagram)], None)?)
}

fn send(
    socket: &impl AsRawFd,
    from: Option<IpAddr>,
    target: Option<SocketAddr>,
    slices: &[IoSlice<'_>],
    segment: Option<&u16>,
) -> Result<(), Errno> {
    let target = target.map(SockaddrStorage::from);
    let segment = segment.map(ControlMessage::UdpGsoSegments);
    let go = |control: &[ControlMessage<'_>]| {
        sendmsg(socket.as_raw_fd(), slices, control, MsgFlags::MSG_DONTWAIT, target.as_ref()).map(drop)
    };
    let (v4, v6);
    let from = match from {
        None => None,
        Some(IpAddr::V4(address)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(IpAddr::V6(address)) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0,
            };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
    };
    match (from, segment) {
        (None, None) => go(&[]),
        (Some(one), None) | (None, Some(one)) => go(&[one]),
        (Some(from), Some(segment)) => go(&[from, segment]),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_leaves_together_arrives_apart_and_from_the_address_that_was_given() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        target.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let letters: Vec<[u8; 5]> = (0..64).map(|number| [number; 5]).collect();
        let slices: Vec<IoSlice<'_>> = letters.iter().map(|letter| IoSlice::new(letter)).collect();
        let from: IpAddr = "127.0.0.9".parse().unwrap();
        let together = Together::default();
        assert!(together.takes(5) && !together.takes(0) && !together.takes(4096));
        together.send(&socket, Some(from), Some(target.local_addr().unwrap()), &slices).unwrap();
        for letter in &letters {
            let mut buffer = [0; 100];
            let (length, source) = target.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], source.ip()), (&letter[..], from));
        }
    }

    #[test]
    fn a_socket_whose_kernel_says_no_is_not_asked_again() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(target.local_addr().unwrap()).unwrap();
        let together = Together::default();
        // More than any kernel cuts up: EINVAL.
        let slices = vec![IoSlice::new(b"alone"); 200];
        together.send(&socket, None, None, &slices).unwrap_err();
        assert!(!together.takes(5));
        send_one(&socket, None, None, b"alone").unwrap();
    }
}
