//! The first layer of duplicate detection: the same packet again (RFC 5080 §2.2.2).
//!
//! A packet is known by where it came from, its identifier and the socket it reached, and compared on its Request
//! Authenticator. While it is worked on, a copy meets silence; once it was answered, the byte-identical reply. Only
//! verified packets get here, so nobody without the secret can plant or evict anything. The table is bounded; the
//! oldest goes first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use foldhash::quality::RandomState;

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

struct Known {
    authenticator: [u8; 16],
    /// Tells this entry from an older one of the same key in the queue.
    number: u64,
    /// When it came, and when its last copy did.
    came: Tick,
    last: Tick,
    reply: Option<(Arc<[u8]>, Tick)>,
}

/// When a packet that nobody answered is given up: no gateway waits so long. Without it, one such packet at the head
/// of the queue would keep everything behind it.
const GIVEN_UP: Duration = Duration::from_mins(10);

/// The table.
pub struct Duplicates {
    known: DashMap<PacketKey, Known, RandomState>,
    order: Mutex<VecDeque<(PacketKey, u64)>>,
    next: AtomicU64,
    capacity: usize,
    kept: Duration,
}

impl Duplicates {
    /// For at most `capacity` packets, whose replies are `kept` from when they were sent.
    #[must_use]
    pub fn new(capacity: usize, kept: Duration) -> Duplicates {
        Duplicates {
            known: DashMap::default(),
            order: Mutex::default(),
            next: AtomicU64::new(0),
            capacity: capacity.max(1),
            kept,
        }
    }

    /// Looks a verified packet up, and remembers it as pending if it is new.
    pub fn admit(&self, key: PacketKey, authenticator: &[u8; 16], now: Tick) -> Seen {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let fresh = Known { authenticator: *authenticator, number, came: now, last: now, reply: None };
        match self.known.entry(key) {
            Place::Occupied(mut place) if place.get().authenticator == *authenticator => {
                let known = place.get_mut();
                let since = now.since(std::mem::replace(&mut known.last, now));
                match &known.reply {
                    None => return Seen::Pending(since),
                    Some((reply, until)) if now < *until => return Seen::Answered(Arc::clone(reply), since),
                    Some(_) => {
                        place.insert(fresh);
                    }
                }
            }
            Place::Occupied(mut place) => {
                place.insert(fresh);
            }
            Place::Vacant(place) => {
                place.insert(fresh);
            }
        }
        self.queue(key, number);
        Seen::New
    }

    /// Remembers the reply that was sent to a packet. Nothing happens if another packet has taken its key.
    pub fn answered(&self, key: PacketKey, authenticator: &[u8; 16], reply: &Arc<[u8]>, now: Tick) {
        if let Some(mut known) = self.known.get_mut(&key)
            && known.authenticator == *authenticator
        {
            known.reply = Some((Arc::clone(reply), now + self.kept));
        }
    }

    /// Forgets a packet that will not be answered, so that its copy is worked on anew.
    pub fn forget(&self, key: PacketKey, authenticator: &[u8; 16]) {
        self.known.remove_if(&key, |_, known| known.authenticator == *authenticator && known.reply.is_none());
    }

    /// Drops the oldest packets whose replies have had their time; call now and then.
    pub fn sweep(&self, now: Tick) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(key, number)) = order.front() {
            let expired = |known: &Known| match &known.reply {
                Some((_, until)) => now >= *until,
                None => now >= known.came + GIVEN_UP,
            };
            let gone = self.known.get(&key).is_none_or(|known| known.number != number);
            if !gone
                && self.known.remove_if(&key, |_, known| known.number == number && expired(known)).is_none()
            {
                break;
            }
            order.pop_front();
        }
    }

    /// How many packets are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn queue(&self, key: PacketKey, number: u64) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back((key, number));
        while order.len() > self.capacity {
            if let Some((key, number)) = order.pop_front() {
                self.known.remove_if(&key, |_, known| known.number == number);
            }
        }
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

    #[test]
    fn the_oldest_goes_when_the_table_is_full() {
        let table = Duplicates::new(3, KEPT);
        for port in 1..=100 {
            assert!(matches!(table.admit(key(port), &[1; 16], at(0)), Seen::New));
        }
        assert_eq!(table.len(), 3);
        assert!(matches!(table.admit(key(100), &[1; 16], at(0)), Seen::Pending(_)));
        assert!(matches!(table.admit(key(1), &[1; 16], at(0)), Seen::New));
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
    fn a_packet_that_nobody_answers_keeps_none_behind_it_for_ever() {
        let table = Duplicates::new(10, KEPT);
        table.admit(key(1), &[1; 16], at(0));
        table.admit(key(2), &[1; 16], at(0));
        table.answered(key(2), &[1; 16], &Arc::from(*b"x"), at(0));
        table.sweep(at(599));
        assert_eq!(table.len(), 2);
        table.sweep(at(600));
        assert!(table.is_empty());
    }
}
