//! Gateways: what the servers are told of them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Broken;
use super::plan::{Plan, Ruling};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::engine::append::Append;
use crate::engine::delivery::Kind;
use crate::engine::policy::{Lockout, Overrides, Policy, SendLimits, Sending};
use crate::engine::rule::{GroupAttributes, RuleSet};
use crate::server::settings::{Client, MessageAuthenticator};
use crate::wire::SharedSecret;

pub(super) struct Gateway {
    place: usize,
    pub(super) address: SocketAddr,
    name: Label,
    pub(super) secret: Arc<SharedSecret>,
    /// The ports that it has asked from.
    pub(super) ports: u16,
}

impl Gateway {
    pub(super) fn all(plan: &Plan) -> Vec<Gateway> {
        (0..plan.gateways)
            .map(|place| Gateway {
                place,
                address: SocketAddr::from(([192, 0, 2, u8::try_from(place + 1).unwrap()], 0)),
                name: Label::new(&format!("nas-{place}")).unwrap(),
                secret: Arc::new(SharedSecret::new(secret(place))),
                ports: 2000,
            })
            .collect()
    }

    /// As the servers know it.
    pub(super) fn settings(&self, plan: &Plan) -> Client {
        let limits = SendLimits { gap: plan.gap, ..SendLimits::default() };
        let ways = [Kind::Sms, Kind::Voice, Kind::Push].map(|kind| (kind, plan.lifetime)).to_vec();
        let sending = Sending { ways, limits, asking: plan.asking.clone().map(Arc::new) };
        let append = if plan.broken == Broken::AppendIsOff { Append::Never } else { plan.append };
        let overrides = Overrides {
            methods: Some(plan.methods.clone().into()),
            tries: Some(plan.tries),
            window: Some(plan.window),
            code_lifetime: Some(plan.lifetime),
            patience: Some(plan.patience),
            uniform_prompt: Some(plan.uniform),
            challenge: Some(plan.challenge),
            append: Some(append),
            sending: Some(Arc::new(sending)),
            ..Overrides::default()
        };
        let mut policy = Policy::resolve(Label::new("up").unwrap(), Lockout::default(), &[&overrides]);
        if plan.broken == Broken::PolicyExempts {
            policy.login.exempt = Some(Label::new("everybody").unwrap());
        }
        let policy = Arc::new(policy);
        let mut rules: Vec<_> = plan.rule().into_iter().collect();
        match plan.broken {
            Broken::RulesGetLost => rules.clear(),
            Broken::RulesReachTooFar if plan.ruling == Ruling::ExemptsStations => {
                rules[0].stations = vec!["0.0.0.0/0".parse().unwrap()];
            }
            _ => {}
        }
        let rules: Vec<_> = rules.into_iter().map(Arc::new).collect();
        Client {
            rules: RuleSet::new(&self.name, &policy, &rules, &GroupAttributes::default()),
            name: self.name.clone(),
            networks: vec![self.address.ip().into()],
            secret: secret(self.place),
            previous_secret: None,
            message_authenticator: MessageAuthenticator::Auto,
            limit_proxy_state: true,
            send_message_authenticator: true,
            profile: "generic",
            policy,
        }
    }
}

fn secret(place: usize) -> Secret {
    Secret::new(format!("secret of gateway {place}").into_bytes())
}
