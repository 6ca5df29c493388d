//! radmfa: a self-hosted RADIUS authentication proxy that adds a second factor.
//!
//! Modules in the order of the arrow; what stands left never knows what stands right.

pub mod base;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dictionary;
pub mod engine;
pub mod factor;
pub mod portal;
pub mod primary;
pub mod server;
pub mod store;
pub mod udp;
pub mod wire;
