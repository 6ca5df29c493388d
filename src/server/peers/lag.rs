//! How long what a peer passes on was under way, as far as that can be told without a clock that both share.
//!
//! A request says when it was passed on, by its sender's clock. The least difference between that and our own clock, of late, is
//! how far the two lie apart and the shortest way; what a request took beyond it, it spent waiting: lost and sent again, or in the
//! socket of a server that stood still. Our side is the clock that nobody sets, so a step of the wall clock here changes
//! nothing; one of the peer's, backwards, makes its requests look old until it has been forgotten what was before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::{Tick, UnixTime};

/// For so long, and up to twice as long, a difference is remembered.
const REMEMBERED: Duration = Duration::from_mins(5);

/// The least difference of late, to one peer.
#[derive(Debug, Default)]
pub(super) struct Lag(Mutex<Least>);

#[derive(Debug, Default)]
struct Least {
    began: Tick,
    /// Milliseconds, since the one began and before.
    present: Option<i64>,
    before: Option<i64>,
}

impl Lag {
    /// How much longer than others a request took that was passed on at `said` and is read at `now`. Only of what the
    /// peer sealed.
    pub(super) fn of(&self, said: UnixTime, now: Tick) -> Duration {
        let [said, ours] = [said.0, now.since(Tick(0)).as_millis().try_into().unwrap_or(u64::MAX)]
            .map(|time| i64::try_from(time).unwrap_or(i64::MAX));
        let difference = ours.saturating_sub(said);
        let mut least = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(least.began) >= REMEMBERED {
            let idle = now.since(least.began) >= 2 * REMEMBERED;
            *least = Least { began: now, present: None, before: least.present.filter(|_| !idle) };
        }
        let present = least.present.map_or(difference, |known| known.min(difference));
        least.present = Some(present);
        let shortest = least.before.map_or(present, |known| known.min(present));
        Duration::from_millis(difference.saturating_sub(shortest).try_into().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    fn lag(lag: &Lag, said: u64, came: u64) -> u64 {
        let now = Tick(0) + Duration::from_millis(START + came);
        u64::try_from(
            lag.of(UnixTime::from_secs(1_800_000_000) + Duration::from_millis(said), now).as_millis(),
        )
        .unwrap()
    }

    #[test]
    fn what_took_longer_than_the_shortest_of_late_waited_for_the_rest() {
        let known = Lag::default();
        assert_eq!(lag(&known, 0, 40), 0, "the first tells how far the clocks lie apart");
        assert_eq!(lag(&known, 1000, 1045), 5);
        assert_eq!(lag(&known, 2000, 2010), 0);
        assert_eq!(lag(&known, 3000, 7010), 4000, "it lay in a socket");
        assert_eq!(lag(&known, 600_000, 600_015), 5, "known from the time before");
        assert_eq!(lag(&known, 3_000_000, 3_009_000), 0, "nothing is known any more");
    }

    #[test]
    fn a_peer_whose_clock_was_set_is_believed_again_after_a_while() {
        let known = Lag::default();
        assert_eq!(lag(&known, 100_000, 100_000), 0);
        assert_eq!(lag(&known, 90_000, 110_000), 20_000, "set back");
        assert_eq!(lag(&known, 380_000, 400_010), 20_010);
        assert_eq!(lag(&known, 680_000, 700_020), 10);
        assert_eq!(lag(&known, 760_000, 710_000), 0, "set forward");
    }
}
