//! A gateway made of radmfa's own `wire`: for tests that need many logins, or their every octet.
//! The tests with other people's clients are those that prove the protocol.

use radmfa::base::secret::Secret;
use radmfa::engine::record::LoginId;
use radmfa::server::system::SystemEntropy;
use radmfa::wire::{
    AttributeId, AttributeList, Code, HideKind, MaRule, RequestBuilder, SharedSecret, UpstreamReply, number,
};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::Server;

/// What a gateway was answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Code,
    pub state: Option<Vec<u8>>,
}

/// One gateway with a socket of its own; asks once and does not retransmit.
pub struct Gateway {
    socket: UdpSocket,
    secret: SharedSecret,
    entropy: SystemEntropy,
    identifier: u8,
    /// Calling-Station-Id, where requests have one.
    pub station: Option<String>,
}

impl Gateway {
    pub fn new(server: Server, patience: Duration) -> Gateway {
        Gateway::at(server.address(), server.secret, patience)
    }

    /// One that asks this address, and hears what comes from exactly there.
    pub fn at(address: SocketAddr, secret: &str, patience: Duration) -> Gateway {
        let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        Gateway {
            socket,
            secret: SharedSecret::new(Secret::from(secret)),
            entropy: SystemEntropy::new().unwrap(),
            identifier: 0,
            station: None,
        }
    }

    /// Sends an Access-Request and waits for its answer. `None`: silence, or nobody listens.
    pub fn ask(&mut self, user: &str, password: &str, state: Option<&[u8]>) -> Option<Answer> {
        let mut attributes = AttributeList::new();
        attributes.push_text(number::USER_NAME, user).unwrap();
        let hidden = AttributeId::Standard(number::USER_PASSWORD);
        attributes.push_held(hidden, HideKind::UserPassword, &Secret::from(password)).unwrap();
        if let Some(station) = &self.station {
            attributes.push_text(number::CALLING_STATION_ID, station).unwrap();
        }
        if let Some(state) = state {
            attributes.push(number::STATE, state).unwrap();
        }
        self.identifier = self.identifier.wrapping_add(1);
        let authenticator = radmfa::base::system::random(&mut self.entropy);
        let builder = RequestBuilder {
            code: Code::ACCESS_REQUEST,
            attributes: &attributes,
            proxy_state: None,
            secret: &self.secret,
        };
        let request = builder.build(self.identifier, authenticator, &mut self.entropy).unwrap();
        self.socket.send(&request.bytes).ok()?;
        let mut buffer = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                // A command that the test ran beside this has ended.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            // A late answer to an earlier request does not authenticate, and is passed over.
            if let Ok(reply) = UpstreamReply::authenticate(
                &buffer[..length],
                request.identifier,
                &request.authenticator,
                &self.secret,
                MaRule::Required,
            ) {
                let state = reply.attributes().first(number::STATE).map(<[u8]>::to_vec);
                return Some(Answer { code: reply.code(), state });
            }
        }
    }
}

/// The number of the login whose first challenge carried `state`, as log and trail have it.
pub fn login_of(state: &[u8]) -> LoginId {
    use base64::Engine as _;
    let plain = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(state).unwrap();
    LoginId::from_round(plain[9..25].try_into().unwrap())
}
