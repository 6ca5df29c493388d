#![no_main]
#![allow(dead_code, reason = "the bodies of the other targets")]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::webauthn(octets));
