//! The way back of an answer: to the gateway that asked here, or through the server that it asked.

use std::fmt;
use std::sync::Arc;

use super::super::front::Caller;
use super::Peer;
use super::carrier::{Answered, INNER_MAX, pack};
use super::sealing::Nonce;
use crate::base::system::Entropy;
use crate::base::time::Tick;
use crate::wire::{AttributeList, Code, ReplyTo, TooLarge};

/// What it takes to answer one request, once: sealing consumes it.
pub enum Answering {
    /// To the gateway.
    Gateway(ReplyTo),
    /// To a request that came within a peer's carrier.
    Within(Box<Within>),
    /// To somebody in this process, who is told and not sent anything.
    Inside(Caller),
}

/// The way back within a carrier.
pub struct Within {
    pub(super) request: ReplyTo,
    pub(super) carrier: ToPeer,
    /// From then on nobody may wait for the answer any more.
    pub(super) until: Tick,
}

/// The way back of a carrier.
pub(super) struct ToPeer {
    pub(super) peer: Arc<Peer>,
    pub(super) reply_to: ReplyTo,
    /// What it was sealed under, so that the answer is to this one alone.
    pub(super) nonce: Nonce,
}

impl From<ReplyTo> for Answering {
    fn from(reply_to: ReplyTo) -> Answering {
        Answering::Gateway(reply_to)
    }
}

impl Answering {
    /// Whether a reply with these attributes fits where it goes.
    pub fn fits(&self, attributes: &AttributeList) -> bool {
        match self {
            Answering::Gateway(reply_to) => reply_to.fits(attributes),
            Answering::Within(within) => {
                attributes.wire_len() <= INNER_MAX && within.request.fits(attributes)
            }
            Answering::Inside(_) => true,
        }
    }

    /// When the answer has to be there; `None` where whoever asked says it elsewhere.
    pub fn until(&self) -> Option<Tick> {
        match self {
            Answering::Within(within) => Some(within.until),
            Answering::Gateway(_) | Answering::Inside(_) => None,
        }
    }

    /// The reply's octets. What is too large for where it goes gives the way back, so that something shorter can be said; so
    /// does one to somebody in this process, whom no octets reach.
    pub fn seal(
        self,
        code: Code,
        attributes: &AttributeList,
        entropy: &mut dyn Entropy,
    ) -> Result<Box<[u8]>, TooLarge<Answering>> {
        match self {
            Answering::Gateway(reply_to) => reply_to
                .seal(code, attributes, entropy)
                .map_err(|TooLarge(reply_to)| TooLarge(Answering::Gateway(reply_to))),
            Answering::Within(within) if attributes.wire_len() > INNER_MAX => {
                Err(TooLarge(Answering::Within(within)))
            }
            Answering::Inside(caller) => Err(TooLarge(Answering::Inside(caller))),
            Answering::Within(within) => {
                let Within { request, carrier, until } = *within;
                match request.seal(code, attributes, entropy) {
                    Ok(reply) => Ok(carrier.seal(&Answered::Reply(reply.into()), entropy)),
                    Err(TooLarge(request)) => {
                        Err(TooLarge(Answering::Within(Box::new(Within { request, carrier, until }))))
                    }
                }
            }
        }
    }
}

impl ToPeer {
    /// The carrier's octets. `answered` holds at most [`INNER_MAX`] octets of attributes.
    pub(super) fn seal(self, answered: &Answered, entropy: &mut dyn Entropy) -> Box<[u8]> {
        let ToPeer { peer, reply_to, nonce } = self;
        let (_, sealed) = peer.answered.seal(&nonce, &answered.encode(), entropy);
        carry(reply_to, &sealed, entropy)
    }
}

/// The carrier that answers another one with sealed octets: at most 4,000.
pub(super) fn carry(reply_to: ReplyTo, sealed: &[u8], entropy: &mut dyn Entropy) -> Box<[u8]> {
    #[expect(clippy::expect_used, reason = "carriers hold no Proxy-State, and what is within was measured")]
    reply_to.seal(Code::ACCESS_ACCEPT, &pack(sealed), entropy).expect("a carrier has room")
}

impl fmt::Debug for Answering {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answering::Gateway(reply_to) => reply_to.fmt(formatter),
            Answering::Within(within) => {
                write!(formatter, "{:?} through {}", within.request, within.carrier.peer.name)
            }
            Answering::Inside(caller) => caller.fmt(formatter),
        }
    }
}
