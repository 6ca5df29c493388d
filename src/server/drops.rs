//! Datagrams that get no answer: each counted once under its reason, and said at most once a minute for each client.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::name::Label;
use crate::base::time::Tick;
use crate::wire::DropReason;

/// How long a reason stays quiet for one source once it was said.
const QUIET: Duration = Duration::from_mins(1);
/// Sources remembered at most; beyond them nothing new is said until the minute is over.
const SOURCES_MAX: usize = 1024;

/// The counters and what was said lately.
pub struct Drops {
    counts: [AtomicU64; DropReason::ALL.len()],
    said: Mutex<HashMap<(IpAddr, DropReason), Tick>>,
}

impl Default for Drops {
    fn default() -> Drops {
        Drops { counts: [const { AtomicU64::new(0) }; DropReason::ALL.len()], said: Mutex::default() }
    }
}

impl Drops {
    /// Counts a dropped datagram, and says so unless it was said a moment ago.
    pub fn count(&self, reason: DropReason, source: SocketAddr, client: Option<&Label>, now: Tick) {
        if let Some(counter) = self.counts.get(reason.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // What happens in every healthy network is only counted.
        if reason == DropReason::DuplicatePending || !self.is_news(reason, source.ip(), now) {
            return;
        }
        let client = client.map_or("-", Label::as_str);
        tracing::warn!(reason = reason.code(), %source, client, hint = remedy(reason), "datagram dropped: {reason}");
    }

    /// How many were dropped for `reason`.
    pub fn counted(&self, reason: DropReason) -> u64 {
        self.counts.get(reason.index()).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn is_news(&self, reason: DropReason, source: IpAddr, now: Tick) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SOURCES_MAX {
            said.retain(|_, last| now.since(*last) < QUIET);
        }
        let full = said.len() >= SOURCES_MAX;
        match said.get_mut(&(source, reason)) {
            Some(last) if now.since(*last) < QUIET => false,
            Some(last) => {
                *last = now;
                true
            }
            None if full => false,
            None => {
                said.insert((source, reason), now);
                true
            }
        }
    }
}

/// What an admin can do about it.
fn remedy(reason: DropReason) -> &'static str {
    match reason {
        DropReason::BadPeerSecret => {
            "give both servers' peer tables the same secret, and each the other's server-name"
        }
        DropReason::RelayReplayed => "find out who repeats packets between the servers",
        DropReason::RelayLate => "see what held this server, or the way between the two, up for seconds",
        DropReason::RelayRefused => "run the same version of radmfa on both servers",
        DropReason::UnknownClient => "add a client with this address, or ask from one that is configured",
        DropReason::BadMessageAuthenticator | DropReason::BadRequestAuthenticator => {
            "make the shared secret the same on both sides"
        }
        DropReason::NoMessageAuthenticator => "turn Message-Authenticator on at the sender",
        DropReason::UnsignedNotAllowed => {
            "turn Message-Authenticator on at the gateway; if only a test ever sent it from there, `radmfa client relax` \
             and SIGHUP; going without leaves CVE-2024-3596 open"
        }
        DropReason::ProxyStateUnsigned => {
            "turn Message-Authenticator on at the proxy in front (NPS: KB5040268); limit-proxy-state = false would open CVE-2024-3596"
        }
        DropReason::UnknownCode => {
            "send only Access-Request and Status-Server to this port; accounting goes elsewhere"
        }
        DropReason::Overload => "raise [limits], or find who floods",
        _ => "look at what the sender sends; it is not well-formed RADIUS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_a_minute_and_always_counted() {
        let drops = Drops::default();
        let source: SocketAddr = "192.0.2.1:1000".parse().unwrap();
        let at = |seconds| Tick(0) + Duration::from_secs(seconds);
        assert!(drops.is_news(DropReason::TooShort, source.ip(), at(0)));
        assert!(!drops.is_news(DropReason::TooShort, source.ip(), at(59)));
        assert!(drops.is_news(DropReason::BadLength, source.ip(), at(59)));
        assert!(drops.is_news(DropReason::TooShort, source.ip(), at(60)));
        for _ in 0..5 {
            drops.count(DropReason::TooShort, source, None, at(0));
        }
        assert_eq!(drops.counted(DropReason::TooShort), 5);
    }

    #[test]
    fn a_flood_of_sources_does_not_grow_the_memory() {
        let drops = Drops::default();
        for number in 0..10_000_u32 {
            drops.is_news(DropReason::UnknownClient, IpAddr::from(number.to_be_bytes()), Tick(0));
        }
        assert_eq!(drops.said.lock().unwrap().len(), SOURCES_MAX);
    }
}
