//! The first layer of duplicate detection: the same packet again (RFC 5080 §2.2.2).
//!
//! A packet is known by where it came from, its identifier and the socket it reached, and compared on its Request
//! Authenticator. While it is worked on, a copy meets silence; once it was answered, the byte-identical reply. Only
//! verified packets get here, so nobody without the secret can plant or evict anything. The table is bounded: the oldest reply
//! goes first, and what is being worked on stays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::aside::{Aside, Place};
use crate::base::time::Tick;

/// What makes a packet the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketKey {
    /// Where it came from.
    pub source: SocketAddr,
    /// The local address it was sent to.
    pub local: SocketAddr,
    /// Its identifier.
    pub identifier: u8,
}

/// What is known of a packet.
#[derive(Debug)]
pub enum Seen {
    /// Nothing: it is to be worked on.
    New,
    /// It is being worked on; it, or its last copy, came so long ago.
    Pending(Duration),
    /// It was answered with this; the same.
    Answered(Arc<[u8]>, Duration),
}

/// What a packet is known by in the table: the same in 45 octets, of which a table of many is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Short([u8; 45]);

impl From<PacketKey> for Short {
    fn from(PacketKey { source, local, identifier }: PacketKey) -> Short {
        let mut octets = [0; 45];
        let mut rest = octets.as_mut_slice();
        let mut put = |part: &[u8]| {
            if let Some(place) = rest.split_off_mut(..part.len()) {
                place.copy_from_slice(part);
            }
        };
        for address in [source, local] {
            let (ip, scope) = match address {
                SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
                SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
            };
            put(&ip.octets());
            put(&scope.to_ne_bytes());
            put(&address.port().to_ne_bytes());
        }
        put(&[identifier]);
        Short(octets)
    }
}

struct Known {
    authenticator: [u8; 16],
    /// Tells this entry from an older one of the same key in the queue.
    number: u64,
    /// When it, or its last copy, came.
    last: Tick,
    /// While there is no reply, when it came; afterwards, until when the reply is kept.
    time: Tick,
    reply: Option<Arc<[u8]>>,
}

/// When a packet that nobody answered is given up: no gateway waits so long.
const GIVEN_UP: Duration = Duration::from_mins(10);

/// The table.
pub struct Duplicates {
    known: Aside<Short, Known, RandomState>,
    answered: Mutex<Answered>,
    /// Packets that are being worked on, and those in the queue.
    count: AtomicUsize,
    next: AtomicU64,
    capacity: usize,
    kept: Duration,
}

/// Those that were answered. What is being worked on is in no queue: of a thousand requests that are held for minutes none keeps
/// the replies behind it.
#[derive(Default)]
struct Answered {
    /// In the order in which their replies are forgotten.
    queue: VecDeque<(Short, u64)>,
    /// Until then nothing that is being worked on is old enough to be given up.
    look: Tick,
}

impl Duplicates {
    /// For at most `capacity` packets, whose replies are `kept` from when they were sent.
    #[must_use]
    pub fn new(capacity: usize, kept: Duration) -> Duplicates {
        Duplicates {
            known: Aside::default(),
            answered: Mutex::default(),
            count: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            capacity: capacity.max(1),
            kept,
        }
    }

    /// Looks a verified packet up, and remembers it as pending if it is new. Where all that the table can hold is being worked
    /// on, it is not remembered.
    pub fn admit(&self, key: PacketKey, authenticator: &[u8; 16], now: Tick) -> Seen {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = Short::from(key);
        let fresh = Known { authenticator: *authenticator, number, last: now, time: now, reply: None };
        let replaced = match self.known.place(key) {
            Place::Taken(mut known) if known.authenticator == *authenticator => {
                let since = now.since(std::mem::replace(&mut known.last, now));
                match &known.reply {
                    None => return Seen::Pending(since),
                    Some(reply) if now < known.time => return Seen::Answered(Arc::clone(reply), since),
                    Some(_) => Some(std::mem::replace(&mut *known, fresh)),
                }
            }
            Place::Taken(mut known) => Some(std::mem::replace(&mut *known, fresh)),
            Place::Free(place) => {
                place.insert(fresh);
                None
            }
        };
        // Another packet of that key which was being worked on is counted already.
        let counted = replaced.is_some_and(|known| known.reply.is_none());
        if !counted && self.count.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.make_room(key, number);
        }
        Seen::New
    }

    /// Remembers the reply that was sent to a packet. Nothing happens if another packet has taken its key.
    pub fn answered(&self, key: PacketKey, authenticator: &[u8; 16], reply: &Arc<[u8]>, now: Tick) {
        let key = Short::from(key);
        let Some(mut known) = self.known.get_mut(&key).filter(|known| known.authenticator == *authenticator)
        else {
            return;
        };
        known.time = now + self.kept;
        let (before, number) = (known.reply.replace(Arc::clone(reply)), known.number);
        drop(known);
        if before.is_none() {
            self.lock().queue.push_back((key, number));
        }
    }

    /// The packet of `key` is being worked on, and will be for long: somebody was asked out of band.
    pub fn set_aside(&self, key: PacketKey) {
        self.known.set_aside(&Short::from(key));
    }

    /// Forgets a packet that will not be answered, so that its copy is worked on anew.
    pub fn forget(&self, key: PacketKey, authenticator: &[u8; 16]) {
        let is = |known: &Known| known.authenticator == *authenticator && known.reply.is_none();
        if self.known.remove_if(&Short::from(key), is).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops the oldest packets whose replies have had their time; call now and then.
    pub fn sweep(&self, now: Tick) {
        let mut answered = self.lock();
        while let Some(&(key, number)) = answered.queue.front() {
            let stays = |known: &Known| known.number == number && now < known.time;
            if self.known.get(&key).is_some_and(|known| stays(&known)) {
                break;
            }
            answered.queue.pop_front();
            self.drop_answered(key, number);
        }
        if now < answered.look {
            return;
        }
        let mut oldest = now;
        self.known.remove_all(|known| {
            let over = known.reply.is_none() && now >= known.time + GIVEN_UP;
            if over {
                self.count.fetch_sub(1, Ordering::Relaxed);
            } else if known.reply.is_none() {
                oldest = oldest.min(known.time);
            }
            over
        });
        answered.look = oldest + GIVEN_UP;
    }

    /// How many packets are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest reply goes for the packet that came; where there is none, that is not remembered itself.
    fn make_room(&self, key: Short, number: u64) {
        let oldest = self.lock().queue.pop_front();
        if let Some((key, number)) = oldest {
            self.drop_answered(key, number);
        } else if self.known.remove_if(&key, |known| known.number == number).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops what has left the queue, unless another packet has taken its key.
    fn drop_answered(&self, key: Short, number: u64) {
        self.known.remove_if(&key, |known| known.number == number);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> PacketKey {
        PacketKey {
            source: ([127, 0, 0, 1], port).into(),
            local: ([127, 0, 0, 1], 1812).into(),
            identifier: 1,
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick(0) + Duration::from_secs(seconds)
    }

    const KEPT: Duration = Duration::from_secs(10);

    #[test]
    fn a_copy_meets_silence_and_then_the_same_reply() {
        let table = Duplicates::new(10, KEPT);
        assert!(matches!(table.admit(key(1), &[1; 16], at(0)), Seen::New));
        assert!(
            matches!(table.admit(key(1), &[1; 16], at(1)), Seen::Pending(since) if since == Duration::from_secs(1))
        );
        let reply: Arc<[u8]> = Arc::from(*b"reply");
        table.answered(key(1), &[1; 16], &reply, at(100));
        assert!(
            matches!(table.admit(key(1), &[1; 16], at(109)), Seen::Answered(again, since) if again == reply && since == Duration::from_secs(108))
        );
        assert!(matches!(table.admit(key(1), &[1; 16], at(110)), Seen::New));
    }

    #[test]
    fn another_authenticator_is_another_packet() {
        let table = Duplicates::new(10, KEPT);
        assert!(matches!(table.admit(key(1), &[1; 16], at(0)), Seen::New));
        assert!(matches!(table.admit(key(1), &[2; 16], at(0)), Seen::New));
        // The reply to the first one comes late and must not answer the second.
        table.answered(key(1), &[1; 16], &Arc::from(*b"first"), at(1));
        assert!(matches!(table.admit(key(1), &[2; 16], at(1)), Seen::Pending(_)));
    }

    fn answer(table: &Duplicates, port: u16, now: Tick) {
        table.admit(key(port), &[1; 16], now);
        table.answered(key(port), &[1; 16], &Arc::from(*b"x"), now);
    }

    #[test]
    fn the_oldest_reply_goes_when_the_table_is_full_and_what_is_worked_on_stays() {
        let table = Duplicates::new(3, KEPT);
        table.admit(key(1000), &[1; 16], at(0));
        for port in 1..=100 {
            answer(&table, port, at(0));
        }
        assert_eq!(table.len(), 3);
        assert!(matches!(table.admit(key(1000), &[1; 16], at(1)), Seen::Pending(_)));
        assert!(matches!(table.admit(key(100), &[1; 16], at(1)), Seen::Answered(..)));
        assert!(matches!(table.admit(key(1), &[1; 16], at(1)), Seen::New));
    }

    #[test]
    fn a_table_full_of_what_is_worked_on_remembers_no_more_until_something_is_answered() {
        let table = Duplicates::new(3, KEPT);
        for port in 1..=100 {
            assert!(matches!(table.admit(key(port), &[1; 16], at(0)), Seen::New));
        }
        assert_eq!(table.len(), 3);
        for port in 1..=3 {
            assert!(matches!(table.admit(key(port), &[1; 16], at(0)), Seen::Pending(_)));
        }
        assert!(matches!(table.admit(key(4), &[1; 16], at(0)), Seen::New));
        table.answered(key(2), &[1; 16], &Arc::from(*b"x"), at(1));
        assert!(matches!(table.admit(key(4), &[1; 16], at(1)), Seen::New));
        assert!(matches!(table.admit(key(4), &[1; 16], at(1)), Seen::Pending(_)));
        assert_eq!(table.len(), 3);
        table.forget(key(4), &[1; 16]);
        assert!(matches!(table.admit(key(5), &[1; 16], at(1)), Seen::New));
        assert!(matches!(table.admit(key(5), &[1; 16], at(1)), Seen::Pending(_)));
    }

    #[test]
    fn a_key_that_is_used_again_is_counted_once() {
        let table = Duplicates::new(3, KEPT);
        for number in 0..50 {
            table.admit(key(1), &[number; 16], at(0));
            if number % 2 == 0 {
                table.answered(key(1), &[number; 16], &Arc::from(*b"x"), at(0));
                table.answered(key(1), &[number; 16], &Arc::from(*b"y"), at(0));
            }
            table.sweep(at(0));
        }
        assert_eq!((table.len(), table.count.load(Ordering::Relaxed)), (1, 1));
        table.sweep(at(600));
        assert_eq!((table.len(), table.count.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn every_part_of_a_key_tells_packets_apart() {
        let addresses =
            ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1", "[::a]:1", "[fe80::1%1]:1", "[fe80::1%2]:1"];
        let mut seen = std::collections::HashSet::new();
        for source in addresses {
            for local in addresses {
                for identifier in [0, 1, 255] {
                    let (source, local) = (source.parse().unwrap(), local.parse().unwrap());
                    seen.insert(Short::from(PacketKey { source, local, identifier }).0);
                }
            }
        }
        assert_eq!(seen.len(), addresses.len() * addresses.len() * 3);
    }

    #[test]
    fn a_sweep_drops_what_had_its_time_and_keeps_the_pending() {
        let table = Duplicates::new(10, KEPT);
        table.admit(key(1), &[1; 16], at(0));
        table.answered(key(1), &[1; 16], &Arc::from(*b"x"), at(0));
        table.admit(key(2), &[1; 16], at(0));
        table.sweep(at(9));
        assert_eq!(table.len(), 2);
        table.sweep(at(10));
        assert_eq!(table.len(), 1);
        assert!(matches!(table.admit(key(2), &[1; 16], at(10)), Seen::Pending(_)));
    }

    #[test]
    fn a_packet_that_nobody_answers_keeps_no_reply_behind_it_and_is_given_up_in_the_end() {
        let table = Duplicates::new(10, KEPT);
        table.admit(key(1), &[1; 16], at(0));
        answer(&table, 2, at(0));
        table.sweep(at(9));
        assert_eq!(table.len(), 2);
        table.sweep(at(10));
        assert_eq!(table.len(), 1);
        table.admit(key(3), &[1; 16], at(300));
        table.sweep(at(599));
        assert_eq!(table.len(), 2);
        table.sweep(at(600));
        assert_eq!(table.len(), 1);
        table.sweep(at(900));
        assert!(table.is_empty());
    }
}
