//! Why a datagram gets no answer. The list is closed: each datagram that is dropped counts under exactly one reason,
//! in the log, in the counters and in reports alike.

use std::fmt;

macro_rules! drop_reasons {
    ($($variant:ident $code:literal $sentence:literal)*) => {
        /// Why a datagram is dropped in silence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum DropReason {
            $(#[doc = $sentence] #[error($sentence)] $variant,)*
        }

        impl DropReason {
            /// Every reason, in the order of [`DropReason::index`].
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant),*];

            /// The reason's name in logs, metrics and reports: kebab-case, never changed once released.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(DropReason::$variant => $code,)*
                }
            }
        }
    };
}

drop_reasons! {
    // The bytes alone.
    TooShort "too-short" "the datagram is shorter than a RADIUS header"
    BadLength "bad-length" "the length field is below 20, above 4096, or more than what arrived"
    BadAttribute "bad-attribute" "an attribute is of type 0, shorter than its head, or reaches beyond the packet"
    TooManyAttributes "too-many-attributes" "the packet holds more than 200 attributes"
    TwoStates "two-states" "the packet holds two State attributes"
    TwoMessageAuthenticators "two-message-authenticators" "the packet holds two Message-Authenticator attributes"
    // The secret.
    UnknownClient "unknown-client" "no client is configured for the source address"
    BadMessageAuthenticator "bad-message-authenticator" "the Message-Authenticator is wrong; is the shared secret right?"
    BadRequestAuthenticator "bad-request-authenticator" "the Request Authenticator is wrong; is the shared secret right?"
    NoMessageAuthenticator "no-message-authenticator" "EAP and Status-Server need a Message-Authenticator, and there is none"
    UnsignedNotAllowed "unsigned-not-allowed" "there is no Message-Authenticator, and this client is required to send it"
    ProxyStateUnsigned "proxy-state-unsigned" "there is a Proxy-State without a Message-Authenticator (CVE-2024-3596)"
    BadPeerSecret "bad-peer-secret" "what came from a peer's address is not signed or sealed with its secret; is the secret the same on both sides?"
    RelayReplayed "relay-replayed" "a peer's request came again in another packet"
    RelayRefused "relay-refused" "what a peer passed on is no answer to a challenge of this server, or was passed on before"
    RelayLate "relay-late" "a peer's request came so late that nobody waits for its answer any more"
    // What is asked.
    UnknownCode "unknown-code" "the packet is of a kind that is not served here"
    TwoUserNames "two-user-names" "the packet holds two User-Name attributes"
    TwoCredentials "two-credentials" "the packet holds two credentials"
    MalformedPassword "malformed-password" "the User-Password is not 16 to 128 octets in blocks of 16"
    MalformedCredential "malformed-credential" "the CHAP or MS-CHAP response is incomplete or of a wrong length"
    // What we are doing.
    DuplicatePending "duplicate-pending" "the same packet is already being worked on"
    Overload "overload" "too much is going on to take a new login"
    ShuttingDown "shutting-down" "the server is stopping"
    ReplyTooLarge "reply-too-large" "the reply would be longer than 4096 octets"
    Internal "internal" "the server failed at this request; this is a bug"
}

impl DropReason {
    /// Its place in [`DropReason::ALL`], for an array of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The code, then the sentence, for a log line: `bad-length: the length field …`.
    #[must_use]
    pub fn explained(self) -> impl fmt::Display {
        fmt::from_fn(move |formatter| write!(formatter, "{}: {self}", self.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_kebab_case_code_and_its_place() {
        let mut codes: Vec<_> = DropReason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(
            codes.iter().all(|code| code.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'))
        );
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), DropReason::ALL.len());
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
    }
}
