//! `radmfa session`: second factors that are remembered, and their end.
//!
//! They are kept in the store, so this needs no running server, and a server that runs sees an end at the next login.

use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{FormatFlag, Listing, count, say};
use super::store::{Missing, clock, open};
use super::value::user_name;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::config::flags::StoreFlags;
use crate::engine::record::LoginId;
use crate::engine::remember::Session as Remembered;
use crate::engine::special::Special;
use crate::server::hindrance::account;
use crate::store::admin::{Admin, AdminFault};
use crate::store::user_act::UserAct;

/// List and end remembered second factors
#[derive(Debug, clap::Args)]
pub(crate) struct Session {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List who is not asked for a second factor now, where and for how long
    List {
        /// Only of this user
        #[arg(long, value_name = "NAME", value_parser = user_name)]
        user: Option<UserName>,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// End remembered factors: the next login is asked for one
    End(End),
}

#[derive(Debug, clap::Args)]
struct End {
    /// A user, or the ID of one session
    #[arg(value_name = "USER|ID", required_unless_present = "all", conflicts_with = "all")]
    which: Option<String>,
    /// Everybody's
    #[arg(long)]
    all: bool,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Session {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { user, format, store } => {
                let mut admin = open(&store, Missing::Refuse)?;
                let users = match user {
                    Some(name) => {
                        let special =
                            account(&mut *admin, &name).map_err(Failure::from)?.special.unwrap_or_default();
                        vec![(name, special)]
                    }
                    None => admin.remembered().map_err(Failure::from)?,
                };
                list(&users, clock().unix()).print(format.format)
            }
            Action::End(end) => end.run(),
        }
    }
}

const COLUMNS: &[&str] = &["user", "client", "station", "since", "until", "factor", "id"];

fn list(users: &[(UserName, Arc<Special>)], now: UnixTime) -> Listing {
    let mut listing = Listing::new(COLUMNS);
    for (user, special) in users {
        for session in open_ones(special, now) {
            listing.row(cells(user, session));
        }
    }
    listing
}

/// Those of `special` that are open at `now`, oldest first.
pub(super) fn open_ones(special: &Special, now: UnixTime) -> impl Iterator<Item = &Remembered> {
    special.sessions.iter().filter(move |session| session.is_open(now))
}

fn cells(user: &UserName, session: &Remembered) -> [Value; 7] {
    [
        json!(user.as_str()),
        json!(session.client.as_str()),
        json!(&*session.station),
        json!(session.since.to_string()),
        json!(session.until.to_string()),
        json!(session.method.code()),
        json!(session.id.to_string()),
    ]
}

impl End {
    fn run(self) -> anyhow::Result<()> {
        let End { which, reason, store, .. } = self;
        let mut admin = open(&store, Missing::Refuse)?;
        let why = reason.as_deref();
        let Some(which) = which else { return end_all(&mut *admin, why) };
        if let Some(id) = LoginId::parse(&which)
            && let Some(user) = whose(&mut *admin, id)?
        {
            admin.act_for(&user, &UserAct::EndSessions { which: Some(id), why }).map_err(Failure::from)?;
            return Ok(say(format!("ended {id} of {user}"))?);
        }
        let name = user_name(&which).map_err(Failure::usage)?;
        let special = match account(&mut *admin, &name) {
            Ok(account) => account.special.unwrap_or_default(),
            Err(_) if LoginId::parse(&which).is_some() => {
                return Err(Failure::failed(format!("there is no session and no user {which}"))
                    .hint("radmfa session list")
                    .into());
            }
            Err(fault) => return Err(Failure::from(fault).into()),
        };
        let ended = open_ones(&special, clock().unix()).count();
        admin.act_for(&name, &UserAct::EndSessions { which: None, why }).map_err(Failure::from)?;
        Ok(say(format!("ended {} of {name}", count(ended, "remembered factor")))?)
    }
}

/// Who has the session that began with the login `id`.
fn whose(admin: &mut dyn Admin, id: LoginId) -> anyhow::Result<Option<UserName>> {
    let users = admin.remembered().map_err(Failure::from)?;
    Ok(users.into_iter().find(|(_, special)| special.remembers(id)).map(|(user, _)| user))
}

/// User by user, each with a row of its own: whoever asks later why somebody was asked again finds it there.
fn end_all(admin: &mut dyn Admin, why: Option<&str>) -> anyhow::Result<()> {
    let now = clock().unix();
    let (mut users, mut ended) = (0, 0);
    for (name, special) in admin.remembered().map_err(Failure::from)? {
        let open = open_ones(&special, now).count();
        if open == 0 {
            continue;
        }
        match admin.act_for(&name, &UserAct::EndSessions { which: None, why }) {
            Ok(()) => {
                users += 1;
                ended += open;
            }
            // Ended by itself or by somebody else meanwhile.
            Err(AdminFault::Missing(_)) => {}
            Err(fault) => return Err(Failure::from(fault).into()),
        }
    }
    Ok(say(format!("ended {} of {}", count(ended, "remembered factor"), count(users, "user")))?)
}
