//! A server made from the effective settings, and what start-up says of it: one line for each listener, client, primary
//! and the store, then "ready". `serve` and `quickstart` run the same.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::store::{clock, entropy};
use crate::base::system::Clock;
use crate::config::Effective;
use crate::dictionary::{Attribute, Dictionary, Encryption};
use crate::engine::rule::Rule;
use crate::portal::admin::Admin;
use crate::portal::desk::Desk;
use crate::portal::metrics::Metrics;
use crate::portal::{self, Portal};
use crate::primary::Kinds;
use crate::primary::settings::Kind;
use crate::server::journal::Journal;
use crate::server::settings::{Client, MessageAuthenticator};
use crate::server::system::SystemClock;
use crate::server::{Parts, Server};
use crate::store::act::Origin;
use crate::store::{Opened, Place, Settings};
use crate::wire::{AttributeId, Hidden};

/// How far the newest row of the trail may lie ahead of the clock.
const CLOCK_SLACK: Duration = Duration::from_mins(1);

/// What runs. Dropped, the portal ends first: no answer then finds a server that is gone.
pub(crate) struct Running {
    portal: Option<Portal>,
    metrics: Option<Metrics>,
    admin: Option<Admin>,
    /// Outlive whoever uses them, so that they end on no thread that serves.
    desks: Desks,
    pub(crate) server: Server,
}

impl Running {
    /// Ends both; how many logins were parked is answered.
    pub(crate) fn stop(self) -> usize {
        drop(self.portal);
        drop(self.metrics);
        drop(self.admin);
        drop(self.desks);
        self.server.stop()
    }
}

/// Opens everything and serves. When this returns, the first datagram is answered, and the log says so.
pub(crate) fn start(effective: &Effective, journal: Journal) -> anyhow::Result<Running> {
    let dictionary = Arc::new(super::dictionary::read(&effective.dictionaries)?);
    let settings = super::store::settings(&effective.store, effective.seal_key.as_ref())?;
    super::store::make_directory_of(&settings)?;
    let origin = Origin { server: effective.server.server_name.clone(), ..settings.origin };
    let recording = effective.audit.recording;
    let settings = Settings { tell: |line| tracing::info!("{line}"), origin, recording, ..settings };
    let opened = crate::store::open(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
    check_clock(&opened)?;
    let desks = Desks::open(effective, &opened, &settings)?;
    let parts = Parts {
        primaries: effective.primaries.clone(),
        kinds: kinds(Arc::clone(&dictionary)),
        dictionary,
        delivery: effective.delivery.clone(),
        store: opened.logins,
        state_key: opened.state_key,
        other_state_keys: opened.other_state_keys,
        clock: clock(),
        journal,
        audit: effective.audit.clone(),
        admin: opened.admin,
    };
    let server = Server::start(&effective.server, parts)?;
    if let Err(clash) = super::peers::look_for_namesake(&effective.server) {
        server.stop();
        return Err(clash);
    }
    let listeners = open_portal(effective, &server, desks.portal.as_ref())
        .and_then(|portal| Ok((portal, open_metrics(effective, &server)?)))
        .and_then(|(portal, metrics)| {
            Ok((portal, metrics, open_admin(effective, &server, desks.admin.as_ref())?))
        });
    let (portal, metrics, admin) = match listeners {
        Ok(listeners) => listeners,
        Err(fault) => {
            server.stop();
            return Err(fault);
        }
    };
    announce(effective, &server, portal.as_ref(), &settings.place);
    if let Some(metrics) = &metrics {
        tracing::info!("metrics on {}", metrics.address());
    }
    if let (Some(admin), Some(settings)) = (&admin, &effective.admin) {
        tracing::info!("admin on {}, reached as {}", admin.address(), settings.listener.public_url);
    }
    tracing::info!("ready");
    Ok(Running { portal, metrics, admin, desks, server })
}

fn open_metrics(effective: &Effective, server: &Server) -> anyhow::Result<Option<Metrics>> {
    let Some(settings) = &effective.metrics else { return Ok(None) };
    Ok(Some(Metrics::open(settings, server.pulse())?))
}

fn open_admin(effective: &Effective, server: &Server, desk: Option<&Desk>) -> anyhow::Result<Option<Admin>> {
    let (Some(settings), Some(front), Some(desk)) = (&effective.admin, server.front(), desk) else {
        return Ok(None);
    };
    Ok(Some(Admin::open(settings, desk.clone(), server.pulse(), front)?))
}

/// The pages' ways to the store, where there are pages. One each: however many users crowd at theirs, admins get on with theirs.
struct Desks {
    portal: Option<Desk>,
    admin: Option<Desk>,
}

impl Desks {
    fn open(effective: &Effective, opened: &Opened, settings: &Settings) -> anyhow::Result<Desks> {
        let open = |wanted: bool| -> anyhow::Result<Option<Desk>> {
            if !wanted {
                return Ok(None);
            }
            let admin = opened.desk(settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
            Ok(Some(Desk::new(admin)))
        };
        Ok(Desks { portal: open(effective.portal.is_some())?, admin: open(effective.admin.is_some())? })
    }
}

fn open_portal(
    effective: &Effective,
    server: &Server,
    desk: Option<&Desk>,
) -> anyhow::Result<Option<Portal>> {
    let (Some(settings), Some(answers), Some(desk)) = (&effective.portal, server.answers(), desk) else {
        return Ok(None);
    };
    let means = portal::Means { answers, front: server.front(), desk: desk.clone() };
    Ok(Some(Portal::open(settings, means)?))
}

/// A clock that went back would make spent codes look new.
fn check_clock(opened: &Opened) -> anyhow::Result<()> {
    let now = SystemClock.unix();
    match opened.newest_row {
        Some(newest) if newest.since(now) >= CLOCK_SLACK => Err(Failure::failed(format!(
            "clock-behind: the clock reads {now}, but the newest record was written at {newest}"
        ))
        .hint("set the clock (chronyc makestep, timedatectl); codes depend on it")
        .into()),
        _ => Ok(()),
    }
}

/// Which attributes of an upstream's answer are encrypted: what the dictionaries say.
fn kinds(dictionary: Arc<Dictionary>) -> Kinds {
    let hidden = |attribute: &Attribute| match attribute.encryption {
        Encryption::None => None,
        Encryption::UserPassword => Some(Hidden::UserPassword),
        Encryption::TunnelPassword => Some(Hidden::Salted { tagged: attribute.has_tag }),
        Encryption::Ascend => Some(Hidden::Unsupported),
    };
    Arc::new(move |id| match id {
        AttributeId::Standard(number) => dictionary.standard(number).and_then(hidden),
        AttributeId::Vendor(vendor, number) => dictionary.vendor(vendor, number.into()).and_then(hidden),
    })
}

fn announce(effective: &Effective, server: &Server, portal: Option<&Portal>, place: &Place) {
    tracing::info!("server {}", effective.server.server_name);
    for address in server.addresses() {
        tracing::info!("listening on {address}");
    }
    for client in &effective.server.clients {
        tracing::info!("{}", describe_client(client));
    }
    for rule in &effective.rules {
        tracing::info!("{}", describe_rule(rule));
    }
    for primary in &effective.primaries {
        tracing::info!("primary {}: {}", primary.name, describe_primary(&primary.kind));
    }
    for channel in &effective.delivery.channels {
        tracing::info!("channel {}: {} by {}", channel.name, channel.kind, channel.way.word());
    }
    for peer in &effective.server.peers {
        tracing::info!("peer {}: {}", peer.name, peer.address);
    }
    if let (Some(portal), Some(settings)) = (portal, &effective.portal) {
        let how = if settings.tls.is_some() { "https" } else { "http" };
        tracing::info!("portal on {} by {how}, reached as {}", portal.address(), settings.public_url);
    }
    tracing::info!("store {place}");
}

/// A client in a line.
pub(crate) fn describe_client(client: &Client) -> String {
    let networks: Vec<String> = client
        .networks
        .iter()
        .map(|network| {
            let alone = network.prefix_len() == network.max_prefix_len();
            if alone { network.addr().to_string() } else { network.to_string() }
        })
        .collect();
    let message_authenticator = match client.message_authenticator {
        MessageAuthenticator::Auto => "auto",
        MessageAuthenticator::Required => "required",
        MessageAuthenticator::Optional => "optional",
    };
    format!(
        "client {}: {}, profile {}, primary {}, message-authenticator {message_authenticator}",
        client.name,
        networks.join(" "),
        client.profile,
        client.policy.admission.primary,
    )
}

/// A rule in a line: its conditions.
pub(crate) fn describe_rule(rule: &Rule) -> String {
    fn list<T: ToString>(text: &mut String, name: &str, values: impl IntoIterator<Item = T>) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if !values.is_empty() {
            let _infallible = write!(text, ", {name} {}", values.join(" or "));
        }
    }
    let mut text = String::new();
    list(&mut text, "client", &rule.clients);
    list(&mut text, "group", &rule.groups);
    list(&mut text, "user", &rule.users);
    list(&mut text, "station", &rule.stations);
    list(&mut text, "attribute", rule.attributes.iter().map(|wanted| &wanted.text));
    let exempt = if rule.exempt { ": no second factor" } else { "" };
    format!(
        "rule {}: {}{exempt}",
        rule.name,
        if text.is_empty() { "every login" } else { text.trim_start_matches(", ") }
    )
}

fn describe_primary(kind: &Kind) -> String {
    match kind {
        Kind::Radius(radius) => {
            let servers: Vec<String> = radius.servers.iter().map(ToString::to_string).collect();
            format!("radius, {}", servers.join(" then "))
        }
        Kind::Local => "local passwords in the store".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::flags::ServeFlags;
    use crate::config::{self, Machine};
    use crate::portal::desk::{Fault, WAITING};
    use crate::store::admin::UserFilter;

    #[tokio::test]
    async fn whoever_crowds_the_portal_holds_up_nobody_at_the_admins_pages() {
        let directory = std::env::temp_dir().join(format!("radmfa-desks-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("radmfa.toml");
        let text = "server-name = 'a'\nlisten = '127.0.0.1:1'\nportal.listen = '127.0.0.1:2'\n\
            admin.listen = '127.0.0.1:3'\n[[primary]]\nname = 'here'\ntype = 'local'\n\
            [[client]]\nname = 'nas'\naddress = '127.0.0.1'\nsecret = 'a long shared secret'\n";
        std::fs::write(&file, text).unwrap();
        let Ok((effective, _)) = config::load(&ServeFlags::file(file), &Machine(clock())) else {
            panic!("the file is not taken");
        };
        let settings = Settings::new(Place::Sqlite(directory.join("radmfa.db")));
        let opened = crate::store::open(&settings, clock(), Box::new(entropy().unwrap())).unwrap();
        let desks = Desks::open(&effective, &opened, &settings).unwrap();
        let (portal, admin) = (desks.portal.unwrap(), desks.admin.unwrap());

        let (go, released) = mpsc::channel::<()>();
        let held = tokio::spawn({
            let portal = portal.clone();
            async move {
                let wait = move |_: &mut dyn crate::store::admin::Admin| {
                    released.recv().unwrap();
                    Ok(())
                };
                portal.read(wait).await
            }
        });
        let crowd: Vec<_> = (0..=WAITING)
            .map(|_| {
                let portal = portal.clone();
                tokio::spawn(async move { portal.read(|_| Ok(())).await })
            })
            .collect();
        // Somebody is turned away once as many wait as may.
        while !matches!(portal.read(|_| Ok(())).await, Err(Fault::Busy)) {}
        let users = admin.read(|admin| admin.users(&UserFilter::default())).await;
        assert!(users.is_ok_and(|users| users.is_empty()));
        assert!(!held.is_finished(), "the portal is as crowded as it was");
        go.send(()).unwrap();
        assert!(held.await.unwrap().is_ok());
        for one in crowd {
            let _served_or_turned_away = one.await.unwrap();
        }
        drop((portal, admin, opened));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
