//! Servers that have pages, and who goes through those pages without a browser's scripts.
//!
//! ```text
//! House    the portal, two users: what most tests of its pages want
//! Office   the admins' pages and the interface for programs, a token of each role
//! Estate   everything that has a page, at once: what holds for all of them is tried here
//! Browser  cookies and forms as they stand in the pages, no scripts (a real one: `browser_support`)
//! rules    what holds for every answer and every page
//! ```
//! A test binary says `mod support;` and `mod cli_support;` before `mod pages_support;`.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test binary compiles this module and uses its own part of it"
)]

pub mod browser;
pub mod estate;
pub mod house;
pub mod office;
pub mod rules;

pub use browser::{Browser, hidden, recovery_codes, seed, token};
pub use estate::Estate;
pub use house::House;
pub use office::Office;

/// The TOTP seed of everybody in an [`Office`] and an [`Estate`] who has a token.
pub const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Where browsers reach `host` by a name; passkeys are for names.
pub fn by_name(host: &str) -> String {
    format!("http://localhost:{}", host.rsplit(':').next().unwrap())
}
