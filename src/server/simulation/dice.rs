//! Chance, from a seed.

use std::time::Duration;

use crate::base::system::{Fixed, random};
use crate::base::time::{Tick, UnixTime};

pub(super) struct Dice(Fixed);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0051_0A7E;
        Dice(Fixed { mono: Tick(0), unix: UnixTime(0), seed })
    }

    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(random(&mut self.0))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// So many times in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.number() % 100 < u64::from(percent)
    }

    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.number() % (most - least + 1))
    }
}
