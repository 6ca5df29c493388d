//! A wire between a gateway and a server that a test listens in on, and holds up where it wants to.
//!
//! Each address of the gateway's has a socket of its own towards the server, so that new ports stay new ports.

use super::{Server, process};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A datagram on its way, and the gateway's address that it came from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub gateway: SocketAddr,
    pub octets: Vec<u8>,
}

impl Passed {
    /// The packet's code (RFC 2865 §4).
    pub fn code(&self) -> u8 {
        self.octets[0]
    }

    pub fn identifier(&self) -> u8 {
        self.octets[1]
    }

    /// The Request Authenticator of a request.
    pub fn authenticator(&self) -> [u8; 16] {
        self.octets[4..20].try_into().unwrap()
    }

    /// The values of the attributes of one number.
    pub fn all(&self, number: u8) -> Vec<&[u8]> {
        let mut found = Vec::new();
        let mut rest = &self.octets[20..];
        while let [kind, length, ..] = *rest {
            let (attribute, after) = rest.split_at(usize::from(length));
            if kind == number {
                found.push(&attribute[2..]);
            }
            rest = after;
        }
        found
    }
}

#[derive(Default)]
struct Seen {
    requests: Vec<Passed>,
    replies: Vec<Passed>,
    /// Requests that wait here; `None`: they pass.
    held: Option<Vec<Passed>>,
}

#[derive(Clone)]
pub struct Tap {
    server: Server,
    seen: Arc<Mutex<Seen>>,
    ways: Arc<Mutex<HashMap<SocketAddr, UdpSocket>>>,
    home: Server,
    near: Arc<UdpSocket>,
}

impl Tap {
    /// Listens on `port` until the test's process ends, and passes everything on to `home`.
    pub fn before(home: Server, port: u16) -> Tap {
        let server = Server { port, secret: home.secret };
        let near = Arc::new(UdpSocket::bind(server.address()).unwrap());
        let tap = Tap { server, seen: Arc::default(), ways: Arc::default(), home, near };
        let listening = tap.clone();
        std::thread::spawn(move || listening.listen());
        tap
    }

    /// What the gateway takes for the server.
    pub fn server(&self) -> Server {
        self.server
    }

    /// From now on requests wait until [`Tap::release`].
    pub fn hold(&self) {
        self.seen.lock().unwrap().held.get_or_insert_default();
    }

    /// What waits goes on its way, in the order in which it came, and so does what comes later.
    pub fn release(&self) {
        let held = self.seen.lock().unwrap().held.take().unwrap_or_default();
        for passed in &held {
            self.pass(passed);
        }
    }

    /// The requests so far, held ones included.
    pub fn requests(&self) -> Vec<Passed> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub fn replies(&self) -> Vec<Passed> {
        self.seen.lock().unwrap().replies.clone()
    }

    /// Waits for so many requests, and answers them.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Passed> {
        process::poll("requests", process::START, || Some(self.requests()).filter(|all| all.len() >= count))
    }

    /// Waits for so many replies, and answers them.
    pub fn wait_for_replies(&self, count: usize) -> Vec<Passed> {
        process::poll("replies", process::START, || Some(self.replies()).filter(|all| all.len() >= count))
    }

    fn listen(&self) {
        let mut buffer = [0; 4096];
        while let Ok((length, gateway)) = self.near.recv_from(&mut buffer) {
            let passed = Passed { gateway, octets: buffer[..length].to_vec() };
            let mut seen = self.seen.lock().unwrap();
            seen.requests.push(passed.clone());
            if let Some(held) = &mut seen.held {
                held.push(passed);
                continue;
            }
            drop(seen);
            self.pass(&passed);
        }
    }

    fn pass(&self, passed: &Passed) {
        let mut ways = self.ways.lock().unwrap();
        let far = ways.entry(passed.gateway).or_insert_with(|| self.way(passed.gateway));
        // A server that is not there is silence.
        let _gone = far.send(&passed.octets);
    }

    /// A socket towards the server, whose answers go back to `gateway`.
    fn way(&self, gateway: SocketAddr) -> UdpSocket {
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.connect(self.home.address()).unwrap();
        let (back, seen, near) = (far.try_clone().unwrap(), Arc::clone(&self.seen), Arc::clone(&self.near));
        back.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = back.recv(&mut buffer) {
                let passed = Passed { gateway, octets: buffer[..length].to_vec() };
                // The gateway may have given this port up.
                let _gone = near.send_to(&passed.octets, gateway);
                seen.lock().unwrap().replies.push(passed);
            }
        });
        far
    }
}
