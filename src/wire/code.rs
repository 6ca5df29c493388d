//! The kind of a packet (RFC 2865 §3).

use std::fmt;

/// A packet's Code octet. Unknown ones are kept: what to do with them is the reader's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

impl Code {
    /// A NAS asks whether somebody may come in (RFC 2865 §4.1).
    pub const ACCESS_REQUEST: Code = Code(1);
    /// Yes (RFC 2865 §4.2).
    pub const ACCESS_ACCEPT: Code = Code(2);
    /// No (RFC 2865 §4.3).
    pub const ACCESS_REJECT: Code = Code(3);
    /// A session starts, goes on or stops (RFC 2866 §4.1).
    pub const ACCOUNTING_REQUEST: Code = Code(4);
    /// It was recorded (RFC 2866 §4.2).
    pub const ACCOUNTING_RESPONSE: Code = Code(5);
    /// Another question first (RFC 2865 §4.4).
    pub const ACCESS_CHALLENGE: Code = Code(11);
    /// Is the server alive? (RFC 5997)
    pub const STATUS_SERVER: Code = Code(12);

    /// Whether packets of this kind may carry a Message-Authenticator: all but accounting, whose Request
    /// Authenticator already proves the secret.
    pub(super) const fn is_stamped(self) -> bool {
        !matches!(self, Code::ACCOUNTING_REQUEST | Code::ACCOUNTING_RESPONSE)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Code::ACCESS_REQUEST => "Access-Request",
            Code::ACCESS_ACCEPT => "Access-Accept",
            Code::ACCESS_REJECT => "Access-Reject",
            Code::ACCOUNTING_REQUEST => "Accounting-Request",
            Code::ACCOUNTING_RESPONSE => "Accounting-Response",
            Code::ACCESS_CHALLENGE => "Access-Challenge",
            Code::STATUS_SERVER => "Status-Server",
            Code(unknown) => return write!(formatter, "code {unknown}"),
        };
        formatter.write_str(name)
    }
}
