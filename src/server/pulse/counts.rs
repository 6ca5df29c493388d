//! The counters of logins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;

use crate::base::name::Label;
use crate::engine::reason::Reason;
use crate::engine::record::{Method, Row, Verdict};

/// So many ways to end are told apart for each client; further ones are counted together.
pub const PLACES: usize = 128;

/// What alarms there are.
const ALARMS: [Reason; 5] = [
    Reason::SpraySuspected,
    Reason::GuessingSuspected,
    Reason::FraudReported,
    Reason::BudgetLow,
    Reason::PasskeyCopied,
];

/// Verdicts of logins, in the order in which they are numbered here.
const VERDICTS: [Verdict; 4] = [Verdict::Accepted, Verdict::Rejected, Verdict::Retried, Verdict::Noted];

/// The upper ends of the buckets of [`Spread`], in milliseconds.
pub const BUCKETS: [u32; 14] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/// Whose the time of a login was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The password server was waited for.
    Primary,
    /// The user was waited for.
    User,
    /// A provider was waited for, to take a message.
    Sending,
    /// The rest: radmfa itself and its store.
    Own,
}

impl Step {
    const ALL: [Step; 4] = [Step::Primary, Step::User, Step::Sending, Step::Own];

    /// The word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Step::Primary => "primary",
            Step::User => "user",
            Step::Sending => "sending",
            Step::Own => "own",
        }
    }
}

/// How many logins of a client ended so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The client; empty for those that were taken out of the configuration.
    pub client: Arc<str>,
    /// The second factor.
    pub method: &'static str,
    /// How.
    pub result: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How often it took up to each of [`BUCKETS`], each counting those before it as well.
    pub up_to: [u64; BUCKETS.len()],
    /// How often at all.
    pub count: u64,
    /// How long in all.
    pub sum: Duration,
}

/// What a server counts.
pub struct Counts {
    clients: ArcSwap<HashMap<Label, Arc<Tally>, RandomState>>,
    /// Of clients that are not configured any more.
    gone: Tally,
    steps: [Histogram; Step::ALL.len()],
    alarms: [AtomicU64; ALARMS.len()],
    unrecorded: AtomicU64,
}

impl Counts {
    /// For these clients.
    pub fn new(clients: impl Iterator<Item = Label>) -> Counts {
        let counts = Counts {
            clients: ArcSwap::from_pointee(HashMap::default()),
            gone: Tally::new(),
            steps: Default::default(),
            alarms: Default::default(),
            unrecorded: AtomicU64::new(0),
        };
        counts.configure(clients);
        counts
    }

    /// From here on these are the clients. Those that stay keep what was counted; what logins of the others still come to is
    /// counted together.
    pub fn configure(&self, clients: impl Iterator<Item = Label>) {
        let before = self.clients.load();
        let tally = |name: &Label| before.get(name).map_or_else(|| Arc::new(Tally::new()), Arc::clone);
        let clients = clients.map(|name| (name.clone(), tally(&name))).collect();
        self.clients.store(Arc::new(clients));
    }

    /// A login has ended, or is asked for a code again.
    pub fn login(&self, row: &Row, recorded: bool) {
        let clients = self.clients.load();
        let tally = clients.get(&row.client).map_or(&self.gone, |tally| &**tally);
        tally.count(row.method, row.verdict, row.reason);
        if row.reason == Reason::Relayed {
            return;
        }
        if !recorded {
            self.unrecorded.fetch_add(1, Relaxed);
        }
        if row.verdict == Verdict::Retried {
            return;
        }
        let spent = row.durations;
        let others = spent.primary + spent.typing + spent.sending;
        let took = [spent.primary, spent.typing, spent.sending, row.took.saturating_sub(others)];
        for ((histogram, step), took) in self.steps.iter().zip(Step::ALL).zip(took) {
            if !took.is_zero() || step == Step::Own {
                histogram.observe(took);
            }
        }
    }

    /// An alarm was raised.
    pub fn alarm(&self, reason: Reason) {
        for (alarm, count) in ALARMS.iter().zip(&self.alarms) {
            if *alarm == reason {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// How logins ended: clients by name, each with what it came to.
    pub fn endings(&self) -> Vec<Ending> {
        let clients = self.clients.load();
        let mut named: Vec<(&str, &Tally)> =
            clients.iter().map(|(name, tally)| (name.as_str(), &**tally)).collect();
        named.push(("", &self.gone));
        named.sort_unstable_by_key(|(name, _)| *name);
        named.into_iter().flat_map(|(name, tally)| tally.endings(&name.into())).collect()
    }

    /// How long each step took.
    pub fn steps(&self) -> Vec<(Step, Spread)> {
        Step::ALL.into_iter().zip(&self.steps).map(|(step, histogram)| (step, histogram.spread())).collect()
    }

    /// How often each alarm was raised.
    pub fn alarms(&self) -> Vec<(Reason, u64)> {
        ALARMS.into_iter().zip(&self.alarms).map(|(reason, count)| (reason, count.load(Relaxed))).collect()
    }

    /// How many logins could not be recorded.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Relaxed)
    }
}

/// How logins of one client ended: a small table that fills up as ways to end are met, and never moves.
struct Tally {
    places: Box<[(AtomicU32, AtomicU64)]>,
    others: AtomicU64,
}

impl Tally {
    fn new() -> Tally {
        let places = (0..PLACES).map(|_| (AtomicU32::new(0), AtomicU64::new(0))).collect();
        Tally { places, others: AtomicU64::new(0) }
    }

    fn count(&self, method: Method, verdict: Verdict, reason: Reason) {
        let key = key(method, verdict, reason);
        let first = key.wrapping_mul(0x9e37_79b1) as usize >> 7;
        for step in 0..PLACES {
            let Some((taken, count)) = self.places.get((first + step) % PLACES) else { break };
            let found = match taken.load(Relaxed) {
                0 => taken.compare_exchange(0, key, Relaxed, Relaxed).map_or_else(|other| other, |_| key),
                found => found,
            };
            if found == key {
                count.fetch_add(1, Relaxed);
                return;
            }
        }
        self.others.fetch_add(1, Relaxed);
    }

    fn endings(&self, client: &Arc<str>) -> Vec<Ending> {
        let ending = |(method, verdict, reason): (Method, Verdict, Reason), count| Ending {
            client: Arc::clone(client),
            method: method.code(),
            result: verdict.code(),
            reason: reason.code(),
            count,
        };
        let mut found: Vec<Ending> = self
            .places
            .iter()
            .filter_map(|(taken, count)| Some(ending(unkey(taken.load(Relaxed))?, count.load(Relaxed))))
            .collect();
        found.sort_unstable_by_key(|ending| (ending.result, ending.reason, ending.method));
        let others = self.others.load(Relaxed);
        if others > 0 {
            let (method, result, reason) = ("other", "other", "other");
            found.push(Ending { client: Arc::clone(client), method, result, reason, count: others });
        }
        found
    }
}

/// A number other than 0 for a way to end.
fn key(method: Method, verdict: Verdict, reason: Reason) -> u32 {
    1 + reason as u32 * 64 + method as u32 * 4 + verdict as u32
}

fn unkey(key: u32) -> Option<(Method, Verdict, Reason)> {
    let number = usize::try_from(key.checked_sub(1)?).ok()?;
    let method = *Method::ALL.get(number / 4 % 16)?;
    Some((method, *VERDICTS.get(number % 4)?, *Reason::ALL.get(number / 64)?))
}

#[derive(Default)]
struct Histogram {
    /// One more than there are bounds: for what took longer.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let fits = |most: &u32| took <= Duration::from_millis((*most).into());
        let place = BUCKETS.iter().position(fits).unwrap_or(BUCKETS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn spread(&self) -> Spread {
        let mut spread =
            Spread { sum: Duration::from_micros(self.micros.load(Relaxed)), ..Spread::default() };
        for (place, bucket) in self.buckets.iter().enumerate() {
            spread.count += bucket.load(Relaxed);
            if let Some(up_to) = spread.up_to.get_mut(place) {
                *up_to = spread.count;
            }
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::engine::record::{Durations, LoginId};

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn row(client: &str, method: Method, verdict: Verdict, reason: Reason) -> Row {
        let bare = Row::bare(UnixTime(0), LoginId::default(), label("mfa-a"), label(client), reason);
        Row { verdict, method, ..bare }
    }

    #[test]
    fn every_way_to_end_has_a_number_of_its_own_and_reads_back() {
        let mut seen = std::collections::HashSet::new();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            for method in Method::ALL {
                for verdict in VERDICTS {
                    let key = key(method, verdict, *reason);
                    assert!(seen.insert(key));
                    assert_eq!(unkey(key), Some((method, verdict, *reason)));
                }
            }
        }
        assert_eq!(unkey(0), None);
    }

    #[test]
    fn logins_are_counted_by_client_and_how_they_ended_also_across_a_reload() {
        let counts = Counts::new(["vpn", "wifi"].map(label).into_iter());
        for _ in 0..3 {
            counts.login(&row("vpn", Method::Totp, Verdict::Accepted, Reason::CodeAccepted), true);
        }
        counts.login(&row("wifi", Method::None, Verdict::Rejected, Reason::PrimaryRejected), true);
        counts.configure(["vpn"].map(label).into_iter());
        counts.login(&row("vpn", Method::Totp, Verdict::Accepted, Reason::CodeAccepted), true);
        counts.login(&row("wifi", Method::None, Verdict::Rejected, Reason::StoreUnavailable), false);
        let found = counts.endings();
        let found: Vec<_> = found
            .iter()
            .map(|ending| (&*ending.client, ending.method, ending.result, ending.reason, ending.count))
            .collect();
        assert_eq!(
            found,
            [
                ("", "none", "rejected", "store-unavailable", 1),
                ("vpn", "totp", "accepted", "code-accepted", 4)
            ]
        );
        assert_eq!(counts.unrecorded(), 1);
    }

    #[test]
    fn more_ways_to_end_than_are_told_apart_are_counted_together() {
        let counts = Counts::new(std::iter::once(label("vpn")));
        let ways = PLACES + 10;
        for reason in Reason::ALL.iter().cycle().take(ways) {
            for method in [Method::Totp, Method::Sms] {
                counts.login(&row("vpn", method, Verdict::Rejected, *reason), true);
            }
        }
        let found = counts.endings();
        assert_eq!(found.len(), PLACES + 1);
        assert_eq!(found.iter().map(|ending| ending.count).sum::<u64>(), 2 * ways as u64);
        assert_eq!(found.last().unwrap().reason, "other");
    }

    #[test]
    fn what_a_login_took_is_told_apart_by_whose_the_time_was() {
        let counts = Counts::new(std::iter::empty());
        let ms = Duration::from_millis;
        let durations = Durations { primary: ms(5), typing: ms(70_000), sending: Duration::ZERO };
        let row = row("vpn", Method::Totp, Verdict::Accepted, Reason::CodeAccepted);
        counts.login(&Row { took: ms(70_006), durations, ..row }, true);
        let [primary, user, sending, own] = counts.steps().try_into().unwrap();
        assert_eq!((primary.0, primary.1.up_to[0], primary.1.up_to[1]), (Step::Primary, 0, 1));
        assert_eq!((user.1.up_to[13], user.1.count, user.1.sum), (0, 1, ms(70_000)));
        assert_eq!(sending.1, Spread::default());
        assert_eq!((own.1.up_to[0], own.1.sum), (1, ms(1)));
    }
}
