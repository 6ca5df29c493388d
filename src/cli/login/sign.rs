//! Message-Authenticator (RFC 3579 §3.2) over packets that the `radius` crate encoded, which knows nothing of it: made for
//! requests, checked in replies. Written apart from [`crate::wire`], so that the two hold each other to the RFC.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use subtle::ConstantTimeEq;

use crate::base::secret::Secret;

const HEADER: usize = 20;
const MESSAGE_AUTHENTICATOR: u8 = 80;
const ATTRIBUTE: usize = 18;
const PACKET_MAX: usize = 4096;

/// What a reply's Message-Authenticator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// There is one and it is right.
    Right,
    /// There is none.
    Absent,
    /// There is one that is wrong, or there are two.
    Wrong,
}

/// `request` with a Message-Authenticator before its other attributes. `None` where it does not fit.
pub(super) fn sign(request: &[u8], secret: &Secret) -> Option<Vec<u8>> {
    let (header, attributes) = request.split_at_checked(HEADER)?;
    let length = u16::try_from(request.len() + ATTRIBUTE).ok()?;
    if usize::from(length) > PACKET_MAX {
        return None;
    }
    let mut signed = header.to_vec();
    signed.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    signed.extend([MESSAGE_AUTHENTICATOR, 18]);
    signed.extend([0; 16]);
    signed.extend(attributes);
    let mac = hmac_md5(&[&signed], secret);
    signed.get_mut(HEADER + 2..HEADER + ATTRIBUTE)?.copy_from_slice(&mac);
    Some(signed)
}

/// Checks the one in `reply`, a whole packet whose attributes are well-formed, against the request's authenticator.
pub(super) fn check(reply: &[u8], request_authenticator: &[u8], secret: &Secret) -> Signature {
    let mut found = None;
    let mut place = HEADER;
    while let Some(&[kind, length]) = reply.get(place..).and_then(<[u8]>::first_chunk::<2>) {
        if kind == MESSAGE_AUTHENTICATOR && found.replace((place, usize::from(length))).is_some() {
            return Signature::Wrong;
        }
        place += usize::from(length).max(2);
    }
    let Some((place, length)) = found else { return Signature::Absent };
    if length != ATTRIBUTE {
        return Signature::Wrong;
    }
    let (Some(head), Some(before), Some(value), Some(after)) = (
        reply.get(..4),
        reply.get(HEADER..place + 2),
        reply.get(place + 2..place + ATTRIBUTE),
        reply.get(place + ATTRIBUTE..),
    ) else {
        return Signature::Wrong;
    };
    let mac = hmac_md5(&[head, request_authenticator, before, &[0; 16], after], secret);
    if bool::from(mac.ct_eq(value)) { Signature::Right } else { Signature::Wrong }
}

fn hmac_md5(parts: &[&[u8]], secret: &Secret) -> [u8; 16] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Md5>::new_from_slice(secret.expose()).expect("HMAC takes any key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    fn request() -> Vec<u8> {
        let mut packet =
            radius::core::packet::Packet::new(radius::core::code::Code::AccessRequest, secret().expose());
        radius::core::rfc2865::add_user_name(&mut packet, "alice");
        radius::core::rfc2865::add_user_password(&mut packet, b"secret").unwrap();
        packet.encode().unwrap()
    }

    #[test]
    fn what_is_signed_here_is_verified_by_our_own_codec() {
        let signed = sign(&request(), &secret()).unwrap();
        assert_eq!(signed.get(HEADER), Some(&MESSAGE_AUTHENTICATOR));
        let shared = wire::SharedSecret::new(secret());
        let verified = wire::Parsed::parse(&signed).unwrap().verify(&shared).unwrap();
        assert_eq!(verified.integrity(), wire::Integrity::Signed);
    }

    #[test]
    fn a_reply_is_checked_against_the_request_that_it_answers() {
        // An HMAC over a reply with the request's authenticator in place, as RFC 3579 §3.2 has it.
        let authenticator = [7; 16];
        let mut reply = vec![2, 9, 0, 40];
        reply.extend(authenticator);
        reply.extend([80, 18]);
        reply.extend([0; 16]);
        reply.extend([18, 2]);
        let mac = hmac_md5(&[&reply], &secret());
        reply[22..38].copy_from_slice(&mac);
        reply[4..20].copy_from_slice(&[9; 16]);
        assert_eq!(check(&reply, &authenticator, &secret()), Signature::Right);
        assert_eq!(check(&reply, &[8; 16], &secret()), Signature::Wrong);
        assert_eq!(check(&reply, &authenticator, &Secret::from("other")), Signature::Wrong);
        assert_eq!(check(&reply[..20], &authenticator, &secret()), Signature::Absent);
        let mut twice = reply.clone();
        twice.extend_from_slice(&reply[20..38]);
        assert_eq!(check(&twice, &authenticator, &secret()), Signature::Wrong);
    }

    #[test]
    fn a_packet_that_grows_too_long_is_not_signed() {
        assert!(sign(&[0; PACKET_MAX - 17], &secret()).is_none());
        assert!(sign(&[0; PACKET_MAX - 18], &secret()).is_some());
    }
}
