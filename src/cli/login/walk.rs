//! A login as a gateway walks it: Access-Request, the answer to each Access-Challenge, Accept or Reject.
//!
//! Packets are encoded and decoded by the `radius` crate, so that a mistake of our own codec cannot stand on both ends.
//! What that crate leaves out is done here: an answer counts only if it comes from the server's address and port (a
//! connected socket), has the request's identifier and a right Response Authenticator, and carries a right
//! Message-Authenticator unless [`Gateway::sign`] is off. Everything else is reported and not believed.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use radius::core::avp::AVP;
use radius::core::code::Code;
use radius::core::packet::Packet;
use radius::core::{rfc2865, rfc2869};

use super::sign::{Signature, check, sign};
use crate::base::secret::Secret;
use crate::base::system::Clock;
use crate::cli::failure::Failure;
use crate::engine::record::LoginId;

const HEADER: usize = 20;
/// How many challenges are answered before the walk is given up.
const ROUNDS_MAX: u32 = 20;

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// The RADIUS server.
    pub(crate) server: SocketAddr,
    /// The secret shared with it; not empty.
    pub(crate) secret: Secret,
    /// How long one try waits for its answer.
    pub(crate) timeout: Duration,
    /// How often a request is sent again.
    pub(crate) retries: u32,
    /// Add Message-Authenticator to requests and insist on it in answers.
    pub(crate) sign: bool,
    /// NAS-Identifier.
    pub(crate) nas_identifier: String,
    /// Calling-Station-Id.
    pub(crate) calling_station_id: Option<String>,
}

/// What happens on the way, as it happens.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A request left.
    Sent {
        /// Its identifier.
        identifier: u8,
        /// Its attributes as they stand in the packet.
        attributes: &'a [u8],
        /// From 1; the same request again from 2.
        attempt: u32,
    },
    /// An authentic answer came.
    Received(&'a Answer),
    /// Something came that is not believed.
    Ignored(&'a str),
    /// The login's number, as log and audit trail have it.
    Login(LoginId),
}

/// An authentic answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Accept, Reject or Challenge.
    pub(crate) code: Code,
    /// The identifier.
    pub(crate) identifier: u8,
    /// Its attributes as they stand in the packet.
    pub(crate) attributes: Vec<u8>,
    /// Whether it carried a Message-Authenticator; it is right where there is one.
    pub(crate) signed: bool,
    /// From the first sending of the request to this.
    pub(crate) took: Duration,
}

/// What a challenge asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The first Reply-Message; empty where there is none.
    pub(crate) text: String,
    /// Prompt = Echo: what is typed may be shown.
    pub(crate) echo: bool,
    /// Which challenge of the login it is, from 1.
    pub(crate) round: u32,
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Access-Accept.
    Accepted,
    /// Access-Reject.
    Rejected,
    /// No answer that could be believed.
    Silent(Silence),
}

/// What is known about why no answer came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The address that was asked from.
    pub(crate) from: Option<SocketAddr>,
    /// The machine said that nothing listens on the port.
    pub(crate) refused: bool,
    /// Answers came that were made with another secret, or for another request.
    pub(crate) unauthentic: u32,
    /// Answers came without Message-Authenticator.
    pub(crate) unsigned: u32,
    /// How often the request was sent.
    pub(crate) tries: u32,
}

/// Walks the login of `user`. `answer` is asked what to type at each challenge; `watch` hears of everything.
pub(crate) fn walk(
    gateway: &Gateway,
    user: &str,
    password: &Secret,
    clock: &dyn Clock,
    answer: &mut dyn FnMut(&Question) -> anyhow::Result<Secret>,
    watch: &mut dyn FnMut(Event<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Ending> {
    let socket = connect(gateway)?;
    let mut request = request(gateway, user, password, None)?;
    for round in 1..=ROUNDS_MAX {
        let (answered, packet) = match exchange(gateway, &socket, &request, clock, watch)? {
            Ok(answered) => answered,
            Err(silence) => return Ok(Ending::Silent(silence)),
        };
        watch(Event::Received(&answered))?;
        match answered.code {
            Code::AccessAccept => return Ok(Ending::Accepted),
            Code::AccessReject => return Ok(Ending::Rejected),
            _ => {}
        }
        let state = rfc2865::lookup_state(&packet);
        if let Some(login) = state.as_deref().and_then(login_of).filter(|_| round == 1) {
            watch(Event::Login(login))?;
        }
        let text = packet.lookup(rfc2865::REPLY_MESSAGE_TYPE).map(AVP::encode_bytes);
        let question = Question {
            text: text.map(|text| crate::base::text::escape(&text)).unwrap_or_default(),
            echo: rfc2869::lookup_prompt(&packet).is_some_and(|prompt| prompt == Ok(rfc2869::PROMPT_ECHO)),
            round,
        };
        let typed = answer(&question)?;
        request = self::request(gateway, user, &typed, state.as_deref())?;
    }
    Err(Failure::failed(format!("the server still asks after {ROUNDS_MAX} answers; given up")).into())
}

/// Sends Status-Server (RFC 5997), which always carries Message-Authenticator. How long the answer took.
pub(crate) fn probe(gateway: &Gateway, clock: &dyn Clock) -> anyhow::Result<Result<Duration, Silence>> {
    let socket = connect(gateway)?;
    let mut packet = Packet::new(Code::StatusServer, gateway.secret.expose());
    rfc2865::add_nas_identifier(&mut packet, &gateway.nas_identifier);
    let octets = packet.encode().map_err(|error| Failure::failed(error.to_string()))?;
    let octets = sign(&octets, &gateway.secret).ok_or_else(|| Failure::failed("the request is too long"))?;
    let request = Request { octets, identifier: packet.get_identifier() };
    let answered = exchange(gateway, &socket, &request, clock, &mut |_| Ok(()))?;
    Ok(answered.map(|(answer, _)| answer.took))
}

/// The number of the login whose first challenge had this State, where one of our servers made it: the State's random
/// octets stand after version (1), server (4) and time (4).
pub(crate) fn login_of(state: &[u8]) -> Option<LoginId> {
    let plain = URL_SAFE_NO_PAD.decode(state).ok()?;
    let plain: [u8; 42] = plain.try_into().ok()?;
    let (&[1], rest) = plain.split_first_chunk()? else { return None };
    Some(LoginId::from_round(*rest.get(8..)?.first_chunk()?))
}

fn connect(gateway: &Gateway) -> anyhow::Result<UdpSocket> {
    let any: SocketAddr =
        if gateway.server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(gateway.server).map(|()| socket))
        .map_err(|error| Failure::failed(format!("{} cannot be reached: {error}", gateway.server)).into())
}

/// An Access-Request as it goes out.
struct Request {
    octets: Vec<u8>,
    identifier: u8,
}

fn request(gateway: &Gateway, user: &str, typed: &Secret, state: Option<&[u8]>) -> anyhow::Result<Request> {
    let cannot = |what: String| Failure::usage(format!("no Access-Request can be made of this: {what}"));
    let mut packet = Packet::new(Code::AccessRequest, gateway.secret.expose());
    rfc2865::add_user_name(&mut packet, user);
    rfc2865::add_user_password(&mut packet, typed.expose()).map_err(|error| cannot(error.to_string()))?;
    rfc2865::add_service_type(&mut packet, rfc2865::SERVICE_TYPE_LOGIN_USER);
    rfc2865::add_nas_identifier(&mut packet, &gateway.nas_identifier);
    if let Some(station) = &gateway.calling_station_id {
        rfc2865::add_calling_station_id(&mut packet, station);
    }
    if let Some(state) = state {
        rfc2865::add_state(&mut packet, state);
    }
    let octets = packet.encode().map_err(|error| cannot(error.to_string()))?;
    let octets = if gateway.sign {
        sign(&octets, &gateway.secret).ok_or_else(|| cannot("it grows beyond 4096 octets".into()))?
    } else {
        octets
    };
    Ok(Request { octets, identifier: packet.get_identifier() })
}

/// Sends a request until it is answered or the tries are used up.
fn exchange(
    gateway: &Gateway,
    socket: &UdpSocket,
    request: &Request,
    clock: &dyn Clock,
    watch: &mut dyn FnMut(Event<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Result<(Answer, Packet), Silence>> {
    let mut silence = Silence { from: socket.local_addr().ok(), ..Silence::default() };
    let attributes = request.octets.get(HEADER..).unwrap_or_default();
    let begun = clock.mono();
    let mut buffer = [0; 4096];
    for attempt in 1..=gateway.retries.saturating_add(1) {
        watch(Event::Sent { identifier: request.identifier, attributes, attempt })?;
        silence.tries = attempt;
        if let Err(error) = socket.send(&request.octets) {
            if error.kind() == ErrorKind::ConnectionRefused {
                silence.refused = true;
                return Ok(Err(silence));
            }
            return Err(Failure::failed(format!("{} cannot be reached: {error}", gateway.server)).into());
        }
        let until = clock.mono() + gateway.timeout;
        loop {
            let left = until.since(clock.mono());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let octets = match socket.recv(&mut buffer) {
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    silence.refused = true;
                    return Ok(Err(silence));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match believe(gateway, request, octets, &mut silence) {
                Ok((mut answer, packet)) => {
                    answer.took = clock.mono().since(begun);
                    return Ok(Ok((answer, packet)));
                }
                Err(why) => watch(Event::Ignored(why))?,
            }
        }
    }
    Ok(Err(silence))
}

/// Decides whether a datagram is the server's answer to `request`, and says why it is not.
fn believe(
    gateway: &Gateway,
    request: &Request,
    datagram: &[u8],
    silence: &mut Silence,
) -> Result<(Answer, Packet), &'static str> {
    // The crate computes authenticity over the datagram; RFC 2865 §3 ends the packet at its Length.
    let length =
        datagram.get(2..4).and_then(<[u8]>::first_chunk::<2>).map(|octets| u16::from_be_bytes(*octets));
    let octets = length
        .and_then(|length| datagram.get(..usize::from(length)))
        .filter(|octets| octets.len() >= HEADER)
        .ok_or("it is no RADIUS packet")?;
    let secret = gateway.secret.expose();
    let packet = Packet::decode(octets, secret).map_err(|_| "it is no RADIUS packet")?;
    if packet.get_identifier() != request.identifier {
        return Err("it answers another request (wrong identifier)");
    }
    if !matches!(packet.get_code(), Code::AccessAccept | Code::AccessReject | Code::AccessChallenge) {
        return Err("it is no answer to an Access-Request");
    }
    if !Packet::is_authentic_response(octets, &request.octets, secret) {
        silence.unauthentic += 1;
        return Err("its Response Authenticator is wrong: another shared secret, or somebody else");
    }
    let request_authenticator = request.octets.get(4..HEADER).unwrap_or_default();
    let signed = match check(octets, request_authenticator, &gateway.secret) {
        Signature::Right => true,
        Signature::Absent if !gateway.sign => false,
        Signature::Absent => {
            silence.unsigned += 1;
            return Err(
                "it carries no Message-Authenticator (CVE-2024-3596); --no-message-authenticator takes it",
            );
        }
        Signature::Wrong => {
            silence.unauthentic += 1;
            return Err("its Message-Authenticator is wrong");
        }
    };
    let answer = Answer {
        code: packet.get_code(),
        identifier: request.identifier,
        attributes: octets.get(HEADER..).unwrap_or_default().to_vec(),
        signed,
        took: Duration::ZERO,
    };
    Ok((answer, packet))
}
