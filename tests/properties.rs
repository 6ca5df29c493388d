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

/// The octets of one act of an engine script (`fuzz/engine_script.rs`): half of them what gateways and users do all
/// day, half of them anything.
fn act() -> impl Strategy<Value = Vec<u8>> {
    let anything = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..6))
        .prop_map(|(act, details)| [&[act], details.as_slice()].concat());
    prop_oneof![
        4 => anything,
        // The first step of one of the users at the first client.
        2 => (0_u8..3).prop_map(|user| vec![0, user, 0, 0]),
        // A code that is right for one of the latest States.
        3 => (0_u8..4).prop_map(|back| vec![7, back, 99, 0, 0, 0]),
        1 => (0_u8..4).prop_map(|back| vec![7, back, 99, 160, 0]),
        // Questions are held, or one of them is answered.
        1 => (0_u8..8).prop_map(|held| vec![21, held]),
        1 => any::<u8>().prop_map(|place| vec![23, place]),
    ]
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
