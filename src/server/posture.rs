//! How safely a gateway speaks and how it asks, and what would make it better: for the report and the pages of admins.

use std::time::Duration;

use super::manners::{Habit, memo};
use super::settings::{Client, MessageAuthenticator};
use crate::base::span::show_span;
use crate::base::time::UnixTime;
use crate::engine::sending::HELD;
use crate::store::admin::{Admin, AdminFault};
use crate::store::report::{By, Filter};

/// What is known of one client.
pub struct Posture<'a> {
    /// Which one.
    pub client: &'a Client,
    /// Addresses that have shown a Message-Authenticator.
    pub seen: Vec<String>,
    /// Kinds of credentials that it sent.
    pub protocols: Vec<String>,
    /// Logins that came to an end.
    pub logins: u64,
    /// How it asks.
    pub habit: Habit,
    /// The longest that a factor of its users may take of one request.
    pub factor: Duration,
}

impl<'a> Posture<'a> {
    /// What is known of `client`, logins counted from and up to these moments. `slowest`: how long the slowest channel may take.
    /// The roll-ups are to be brought up to date before.
    pub fn of(
        client: &'a Client,
        slowest: Option<Duration>,
        (since, until): (Option<UnixTime>, Option<UnixTime>),
        admin: &mut dyn Admin,
    ) -> Result<Posture<'a>, AdminFault> {
        let postures = admin.postures()?.into_iter().filter(|posture| posture.client == client.name);
        let seen = postures.map(|posture| posture.address.to_string()).collect();
        let habit = Habit::read(admin.memo(&memo(&client.name))?.as_deref());
        let filter =
            Filter { since, until, client: Some(client.name.as_str().to_owned()), ..Filter::default() };
        let sums = admin.reports().sums(&filter, By::Protocol)?;
        let logins = sums.iter().map(|sum| sum.accepted + sum.rejected).sum();
        let protocols = sums.into_iter().map(|sum| sum.key).collect();
        // A code that is sent holds the request until a provider has it, a token's holds it not at all.
        let sends = client.policy.sending.is_some() && client.policy.admission.challenge;
        let factor = slowest.filter(|_| sends).unwrap_or_default().min(HELD);
        Ok(Posture { client, seen, protocols, logins, habit, factor })
    }
}

/// Days in which something that was seen still matters.
const LATELY: Duration = Duration::from_hours(30 * 24);
/// Logins below which how many packets come again says nothing.
const ENOUGH: u64 = 20;

/// Something to do about a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The word for pages, one of [`ADVICE`].
    pub code: &'static str,
    /// The times that it names, in order; empty where it names none.
    pub spans: [String; 2],
    /// The same for commands and programs, in English.
    pub sentence: String,
}

/// Every word of [`Advice::code`].
pub const ADVICE: &[&str] = &[
    "longer-secret",
    "signing-off",
    "signs-nothing",
    "signs-some",
    "signs-all",
    "proxy",
    "no-proxy",
    "not-pap",
    "sends-slowly",
    "waits-longer",
    "asks-soon",
    "asks-often",
    "nothing",
];

impl Posture<'_> {
    /// What to do about a client, gravest first; that all is well where nothing is to be done.
    #[must_use]
    pub fn advice(&self, now: UnixTime) -> Vec<Advice> {
        let Posture { client, seen, protocols, logins, habit, factor } = self;
        let lately = |moment: u64| moment > 0 && now.since(UnixTime(moment)) < LATELY;
        let mut advice: Vec<Advice> = Vec::new();
        let mut say = |applies: bool, code: &'static str, what: &str| {
            if applies {
                advice.push(Advice { code, spans: Default::default(), sentence: what.to_owned() });
            }
        };
        let posture = client.message_authenticator;
        say(
            client.secret.len() < 16,
            "longer-secret",
            "Give it a longer secret: 16 octets or more (openssl rand -hex 32).",
        );
        say(
            posture == MessageAuthenticator::Optional,
            "signing-off",
            "Set message-authenticator = auto: without it a reply can be forged (CVE-2024-3596).",
        );
        say(
            posture == MessageAuthenticator::Auto && seen.is_empty() && *logins > 0,
            "signs-nothing",
            "It sends no Message-Authenticator: update the gateway, or have it send one (CVE-2024-3596).",
        );
        say(
            posture != MessageAuthenticator::Required && !seen.is_empty() && lately(habit.unsigned),
            "signs-some",
            "Some of its addresses still ask without Message-Authenticator: have them send it, then set \
             message-authenticator = required.",
        );
        say(
            posture == MessageAuthenticator::Auto && !seen.is_empty() && !lately(habit.unsigned),
            "signs-all",
            "It sends Message-Authenticator: set message-authenticator = required.",
        );
        say(
            lately(habit.proxy_state) && !client.limit_proxy_state,
            "proxy",
            "A proxy stands before it: have that send Message-Authenticator, then set limit-proxy-state = true.",
        );
        say(
            !lately(habit.proxy_state) && !client.limit_proxy_state,
            "no-proxy",
            "No Proxy-State comes from it: set limit-proxy-state = true.",
        );
        say(
            protocols.iter().any(|protocol| !matches!(protocol.as_str(), "pap" | "none")),
            "not-pap",
            "It tries other credentials than PAP, which are refused: set it to PAP.",
        );
        let patience = client.policy.admission.patience;
        let within = client.policy.admission.answer_within();
        if within < *factor {
            let spans = [show_span(*factor), show_span(within)];
            let sentence = format!(
                "A message may take {} to leave, and its patience leaves {}: raise its timeout, and patience to timeout × tries.",
                spans[0], spans[1]
            );
            advice.push(Advice { code: "sends-slowly", spans, sentence });
        }
        if let Some(interval) = habit.interval() {
            let often = *logins >= ENOUGH && habit.repeats * 10 >= *logins;
            let spans = [show_span(interval), show_span(patience)];
            if interval > patience {
                let sentence = format!(
                    "It waits {} before it asks again, longer than patience ({}): raise patience to timeout × tries.",
                    spans[0], spans[1]
                );
                advice.push(Advice { code: "waits-longer", spans, sentence });
            } else if interval < Duration::from_secs(1) {
                let sentence = format!("It asks again after {}: raise its timeout to 3 s or more.", spans[0]);
                advice.push(Advice { code: "asks-soon", spans, sentence });
            } else if often {
                let sentence =
                    "Many of its packets come again: look whether answers are slow (report auth) or lost on the way.".to_owned();
                advice.push(Advice { code: "asks-often", spans, sentence });
            }
        }
        if advice.is_empty() {
            let sentence = "Nothing is to be done.".to_owned();
            advice.push(Advice { code: "nothing", spans: Default::default(), sentence });
        }
        advice
    }
}
