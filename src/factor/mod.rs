//! Second factors: arithmetic and formats only.
//!
//! What a token is and how a code follows from its seed ([`oath`]), how seeds and tokens are written down
//! ([`seed`], [`otpauth`], [`pskc`], [`token_csv`], [`apps`]), recovery codes ([`recovery`]), PINs ([`pin`]), and what leads to
//! a first factor ([`invite`], [`enrol_code`]). No clock, no
//! store: whoever calls brings the time and remembers the step.

pub mod apps;
pub mod described;
pub mod enrol_code;
pub mod invite;
pub mod keyed;
pub mod oath;
pub mod otpauth;
pub mod pin;
pub mod pskc;
pub mod recovery;
pub mod seed;
pub mod token_csv;
