//! Who wants no pushes for a while: one subscription (429), or a whole service (503).
//!
//! Invariants: what is said to one subscription silences no other, since everybody chooses how often theirs is pushed to; a whole service
//! rests for no longer than a login lasts; both tables are bounded, and hold no address of a subscription.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use reqwest::Url;

use crate::base::time::UnixTime;

/// How long a rest is where it is not said, and how long one of a whole service is at most.
const REST: Duration = Duration::from_secs(30);
/// The longest rest that a subscription gets.
const REST_MOST: Duration = Duration::from_mins(10);
/// Services that a rest is remembered of.
const SERVICES_MAX: usize = 64;
/// Subscriptions that a rest is remembered of.
const SUBSCRIPTIONS_MAX: usize = 4096;

/// Until when each of them is left alone.
#[derive(Default)]
pub(super) struct Rests {
    /// By origin.
    services: HashMap<String, UnixTime>,
    /// By the hash of the endpoint.
    subscriptions: HashMap<u64, UnixTime>,
    hasher: RandomState,
}

impl Rests {
    /// How long nothing is to be sent there; `None`: it may be.
    pub(super) fn left(&mut self, endpoint: &Url, now: UnixTime) -> Option<Duration> {
        // A clock that was set back ends it, too.
        let open = |until: &UnixTime, most| now < *until && until.since(now) <= most;
        self.services.retain(|_, until| open(until, REST));
        self.subscriptions.retain(|_, until| open(until, REST_MOST));
        let service = self.services.get(&endpoint.origin().ascii_serialization());
        let until = service.or_else(|| self.subscriptions.get(&self.hasher.hash_one(endpoint.as_str())));
        until.map(|until| until.since(now))
    }

    /// Takes note of a rest that was asked for, of the `whole` service or of this subscription alone; how long it will be.
    pub(super) fn wanted(
        &mut self,
        endpoint: &Url,
        whole: bool,
        said: Option<Duration>,
        now: UnixTime,
    ) -> Duration {
        let most = if whole { REST } else { REST_MOST };
        let rest = said.unwrap_or(REST).clamp(Duration::from_secs(1), most);
        if whole {
            if self.services.len() < SERVICES_MAX {
                self.services.insert(endpoint.origin().ascii_serialization(), now + rest);
            }
        } else if self.subscriptions.len() < SUBSCRIPTIONS_MAX {
            self.subscriptions.insert(self.hasher.hash_one(endpoint.as_str()), now + rest);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1_800_000_000 + seconds)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_is_said_to_one_browser_silences_no_other_and_a_whole_service_rests_for_half_a_minute() {
        let mut rests = Rests::default();
        let (one, other) = (url("https://push.example/1"), url("https://push.example/2"));
        assert_eq!(rests.wanted(&one, false, Some(seconds(3600)), at(0)), seconds(600));
        assert_eq!((rests.left(&one, at(1)), rests.left(&other, at(1))), (Some(seconds(599)), None));
        assert_eq!(rests.left(&one, at(600)), None);

        assert_eq!(rests.wanted(&one, true, Some(seconds(3600)), at(700)), seconds(30));
        assert_eq!(rests.left(&other, at(701)), Some(seconds(29)));
        assert_eq!(rests.left(&url("https://other.example/1"), at(701)), None);
        assert_eq!(rests.left(&other, at(730)), None);

        assert_eq!(rests.wanted(&one, false, None, at(800)), seconds(30));
        assert_eq!(rests.wanted(&other, true, Some(seconds(0)), at(800)), seconds(1));
        assert_eq!(rests.left(&one, at(100)), None, "the clock was set back");
    }

    #[test]
    fn browsers_that_are_at_rest_take_no_place_from_services() {
        let mut rests = Rests::default();
        for number in 0..=SUBSCRIPTIONS_MAX {
            rests.wanted(&url(&format!("https://push.example/{number}")), false, None, at(0));
        }
        assert_eq!(rests.subscriptions.len(), SUBSCRIPTIONS_MAX);
        rests.wanted(&url("https://other.example/"), true, None, at(0));
        assert_eq!(rests.left(&url("https://other.example/1"), at(1)), Some(seconds(29)));
    }
}
