//! RADIUS packets: what comes in is parsed and verified without a copy, what goes out is sealed.
//!
//! ```text
//! datagram ─ Parsed::parse ─ Parsed::verify ─ Verified ─ AccessRequest::view      from a client
//!                                                └────── ReplyTo ── seal ─ datagram
//! AttributeList::forward ─ RequestBuilder::build ─ UpstreamRequest                to an upstream
//! datagram ─ UpstreamReply::authenticate ─ AttributeList::hold ─────────┐         and back
//!                                                      ReplyTo::seal ◄──┘
//! ```
//!
//! Invariants:
//! - Only [`Parsed::verify`] makes a [`Verified`], only [`UpstreamReply::authenticate`] an [`UpstreamReply`]: what
//!   was not checked against a secret has another type.
//! - A [`Parsed`] and everything made from it holds attributes that fill their space exactly, each of two octets or
//!   more, so walking them cannot fail.
//! - Nothing is allocated between the datagram and the [`AccessRequest`]; [`Verified::detach`] copies once.
//! - A [`ReplyTo`] is consumed by sealing: one request, one reply. Message-Authenticator comes first in it
//!   (CVE-2024-3596), the request's Proxy-States last, in their order.
//! - No password or key is in any `Debug`; authenticators are compared in constant time.
//!
//! No dictionary is needed: which attributes are encrypted is asked of the caller ([`Hidden`]).

mod access;
mod attribute;
mod code;
mod drop;
mod held;
mod hide;
mod list;
mod parsed;
mod reader;
mod reply;
mod secret;
mod upstream;
mod verified;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod properties;

pub use access::{AccessRequest, Credential, HiddenPassword};
pub use attribute::{Attribute, AttributeId, Attributes, VALUE_MAX, VendorAttributes, number, vendor};
pub use code::Code;
pub use drop::DropReason;
pub use hide::{
    Hidden, HideKind, PASSWORD_MAX, hide_salted, hide_user_password, reveal_salted, reveal_user_password,
};
pub use list::{AttributeList, Entry, Forward, Undecodable, Unfit};
pub use parsed::{MAX_ATTRIBUTES, MAX_PACKET, Parsed};
pub use reply::{ReplyTo, TooLarge};
pub use secret::SharedSecret;
pub use upstream::{MaRule, ReplyFault, RequestBuilder, UpstreamReply, UpstreamRequest};
pub use verified::{Integrity, Verified};
