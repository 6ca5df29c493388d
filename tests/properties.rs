//! Properties over generated input, shrunk to the smallest case when one fails.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; the bodies are shared with the fuzz targets"
)]

use proptest::prelude::*;

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// The octets of one act of an engine script: what it is, and what it may read.
fn act() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..6))
        .prop_map(|(act, details)| [&[act], details.as_slice()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_lets_anybody_in_without_both_factors_or_keeps_a_login_for_ever(
        acts in proptest::collection::vec(act(), 0..120)
    ) {
        bodies::engine_script::run(&acts.concat());
    }

    #[test]
    fn any_attributes_survive_a_packet_of_ours(octets in proptest::collection::vec(any::<u8>(), 20..400)) {
        bodies::packet(&octets);
        bodies::upstream_reply(&octets);
    }

    #[test]
    fn no_octets_open_as_a_state(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
        bodies::state(&octets);
    }
}
