//! The engine: decides what a login needs next, and does no IO.
//!
//! No clock, no randomness, no lock, no async: [`step::Env`] lends the first two for one step. A login begins with
//! [`login::begin`], and from there each [`step::Step`] is a question, a wait or the end:
//!
//! ```text
//! begin ── CheckPrimary ── AwaitPrimary ── FindUser ── AwaitUser ──┬─ Commit ── AwaitCommit ──┬─ Decided
//!                 ▲             │                          ▲       │                          │
//!                 │             └─ Wait ── Parked ◄────────┼───────┴── Wait ◄─ (a code again) ┘
//!                 └────────────────────────── Entry ───────┘
//! ```
//!
//! Invariants: an Accept takes proofs of the password, the factor and the durable record by value ([`proof`]); only
//! [`policy`] waives a factor; every end is recorded or says that it could not be; what cannot be known is refused.

pub mod account;
mod alarm;
pub mod append;
pub mod arming;
pub mod asking;
pub mod await_commit;
pub mod await_peer;
pub mod await_primary;
pub mod await_user;
mod bypass;
mod codes;
pub mod delivery;
pub mod enrol;
mod in_vain;
pub mod kept;
pub mod lockout;
pub mod login;
pub mod methods;
pub mod parked;
pub mod passkey;
mod phone;
mod pin;
pub mod policy;
mod prompt;
pub mod proof;
pub mod question;
pub mod reason;
pub mod record;
mod recovery;
pub mod remember;
pub mod role;
pub mod rule;
pub mod sending;
pub mod special;
pub mod step;
pub mod words;
