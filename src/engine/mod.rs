//! The engine: decides what a login needs next, and does no IO.

pub mod account;
pub mod policy;
pub mod question;
pub mod reason;
pub mod record;
