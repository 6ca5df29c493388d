//! A primary server that says yes to everybody and costs next to nothing: what is measured is what stands before it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use radmfa::base::secret::Secret;
use radmfa::base::system::Fixed;
use radmfa::wire::{AttributeList, Code, MAX_PACKET, Parsed, ReplyTo, SharedSecret, number};
use socket2::{Domain, Socket, Type};

use super::users;

/// A socket for [`answer_all`], whose buffer takes what many wait for. Its read time-out lets a `stop` be seen.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Answers every Access-Request that was made with `secret`, until `stop` is set.
pub fn answer_all(socket: &UdpSocket, secret: &str, stop: &AtomicBool) {
    let secret = Arc::new(SharedSecret::new(Secret::from(secret)));
    let attributes = accept_attributes();
    let mut entropy = users::entropy(0);
    let mut buffer = [0; MAX_PACKET];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(reply) = reply(&buffer[..length], &secret, &attributes, &mut entropy) {
            // A reply that is lost is asked for again.
            let _ = socket.send_to(&reply, from);
        }
    }
}

fn reply(
    datagram: &[u8],
    secret: &Arc<SharedSecret>,
    attributes: &AttributeList,
    entropy: &mut Fixed,
) -> Option<Box<[u8]>> {
    let request = Parsed::parse(datagram).ok()?.verify(secret).ok()?;
    let known = matches!(request.code(), Code::ACCESS_REQUEST | Code::STATUS_SERVER);
    known
        .then(|| ReplyTo::new(&request, Arc::clone(secret), true))?
        .seal(Code::ACCESS_ACCEPT, attributes, entropy)
        .ok()
}

/// Some of what an Accept for a VPN carries.
fn accept_attributes() -> AttributeList {
    let short = "it is short";
    let mut attributes = AttributeList::new();
    attributes.push(number::CLASS, b"group=staff").expect(short);
    attributes.push_u32(number::SERVICE_TYPE, 2).expect(short);
    attributes.push_u32(number::SESSION_TIMEOUT, 28_800).expect(short);
    // Cisco-AVPair.
    attributes.push_vendor(9, 1, b"ip:addr-pool=vpn").expect(short);
    attributes
}
