//! The load generator's parts, shared by `examples/load.rs` and `benches/compare.rs`.
//!
//! A [`run::Plan`] says what to send where; [`run::run`] sends it from one thread and gives back a
//! [`report::Report`]. [`upstream`] answers for a primary server that costs nothing worth measuring.
//!
//! Invariants: no reply counts that is not authenticated (Response Authenticator, and Message-Authenticator where
//! there is one); a packet that is sent again is the same packet, its latency counted from when it was first sent;
//! every login that was started ends as exactly one of accepted, rejected, unexpected, lost or parked.

#![allow(dead_code, reason = "the example and the benchmark each use their part")]

pub mod flights;
pub mod histogram;
pub mod report;
pub mod run;
pub mod upstream;
pub mod users;
