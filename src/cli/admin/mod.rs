//! `radmfa admin`: who may use the admins' pages, and the tokens of programs that do the same.

mod token;

use std::sync::Arc;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::failure::Failure;
use super::output::{FormatFlag, Listing, note, say};
use super::store::{Missing, entropy, open_because};
use super::token::make::{new_seed, new_serial, show};
use super::user::PasswordFlags;
use super::value::user_name;
use super::why::Why;
use crate::base::name::UserName;
use crate::config::flags::StoreFlags;
use crate::engine::role::Role;
use crate::factor::oath::Parameters;
use crate::factor::otpauth;
use crate::server::hindrance::account;
use crate::store::admin::{Admin as Store, AdminFault, Having, NewToken, UserFields};
use crate::store::user_act::UserAct;

/// Say who may use the admins' pages, and make tokens for programs
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give a user a role at the admins' pages; one who is not there is made, with a password and a token
    ///
    /// Whoever uses the pages logs in with the local password and a second factor. Where no password is known and none is
    /// said, it is asked for; where no token is known, one is made and its QR code shown.
    Add {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        /// admin (everything), helpdesk (helps users who have no role) or auditor (reads only)
        #[arg(long, value_parser = role())]
        role: Role,
        #[command(flatten)]
        password: PasswordFlags,
        /// What the app shows beside the user's name
        #[arg(long, default_value = "radmfa admin")]
        issuer: String,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List who has a role
    List {
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Give somebody who has a role another one
    Role {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        /// admin, helpdesk or auditor
        #[arg(value_parser = role())]
        role: Role,
        #[command(flatten)]
        last: Last,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Take a role away; the user stays
    Remove {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        last: Last,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    Token(token::Token),
}

#[derive(Debug, clap::Args)]
struct Last {
    /// Also where no admin is left then
    #[arg(long)]
    last: bool,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::code))
        .map(|word| Role::parse(&word).unwrap_or(Role::Auditor))
}

impl Admin {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { name, role, password, issuer, why, store } => {
                let mut admin = open_because(&store, Missing::Create, why.reason)?;
                add(&mut *admin, &name, role, &password, &issuer)
            }
            Action::List { format, store } => {
                let mut admin = Why::default().open(&store)?;
                list(&mut *admin)?.print(format.format)
            }
            Action::Role { name, role, last, why, store } => {
                let mut admin = why.open(&store)?;
                held(&mut *admin, &name)?;
                last.check(&mut *admin, &name, Some(role))?;
                admin.act_for(&name, &UserAct::SetRole { role: Some(role) }).map_err(Failure::from)?;
                Ok(say(format!("{name} is {role} now"))?)
            }
            Action::Remove { name, last, why, store } => {
                let mut admin = why.open(&store)?;
                let role = held(&mut *admin, &name)?;
                last.check(&mut *admin, &name, None)?;
                admin.act_for(&name, &UserAct::SetRole { role: None }).map_err(Failure::from)?;
                Ok(say(format!("{name} is {role} no more; the user stays"))?)
            }
            Action::Token(token) => token.run(),
        }
    }
}

/// The role last: nobody has one who could log in with less than a password and a second factor.
fn add(
    admin: &mut dyn Store,
    name: &UserName,
    role: Role,
    password: &PasswordFlags,
    issuer: &str,
) -> anyhow::Result<()> {
    let said = password.hash()?;
    match admin.user(name) {
        Ok(user) => {
            let known = account(admin, name).map_err(Failure::from)?.special;
            if known.is_some_and(|special| special.role.is_some()) {
                return Err(Failure::failed(format!("{name} has a role already"))
                    .hint(format!("radmfa admin role {name} {role}"))
                    .into());
            }
            let hash = match said {
                None if user.fields.password_hash.is_none() => Some(PasswordFlags::ask()?),
                said => said,
            };
            if let Some(hash) = hash {
                let mut edit = |fields: &mut UserFields| fields.password_hash = Some(Arc::clone(&hash));
                admin.set_user(name, &mut edit).map_err(Failure::from)?;
            }
        }
        Err(AdminFault::Missing(_)) => {
            let hash = said.map_or_else(PasswordFlags::ask, Ok)?;
            let fields = UserFields { password_hash: Some(hash), ..UserFields::default() };
            admin.add_user(name, &fields).map_err(Failure::from)?;
            note(format!("added user {name}"));
        }
        Err(fault) => return Err(Failure::from(fault).into()),
    }
    let made = give_token(admin, name, issuer)?;
    admin.act_for(name, &UserAct::SetRole { role: Some(role) }).map_err(Failure::from)?;
    say(format!("{name} is {role} now"))?;
    made.map_or(Ok(()), |uri| show(&uri))
}

/// A token where there is none, and what its QR code says.
fn give_token(admin: &mut dyn Store, name: &UserName, issuer: &str) -> anyhow::Result<Option<String>> {
    if !account(admin, name).map_err(Failure::from)?.tokens.is_empty() {
        return Ok(None);
    }
    let mut random = entropy()?;
    let serial = new_serial(&mut random);
    let token = NewToken::new(serial, Some(name.clone()), new_seed(&mut random), Parameters::default());
    admin.add_token(&token).map_err(Failure::from)?;
    note(format!("added token {}", token.serial));
    Ok(Some(otpauth::uri(issuer, name.as_str(), &token.seed, &token.parameters, 0)))
}

/// The role that somebody has.
fn held(admin: &mut dyn Store, name: &UserName) -> anyhow::Result<Role> {
    let special = account(admin, name).map_err(Failure::from)?.special;
    special.and_then(|special| special.role).ok_or_else(|| {
        Failure::failed(format!("{name} has no role")).hint("radmfa admin list says who has one").into()
    })
}

impl Last {
    /// Refuses to leave nobody who is admin, unless that was said.
    fn check(&self, admin: &mut dyn Store, name: &UserName, role: Option<Role>) -> anyhow::Result<()> {
        let admins = admin.users_with(Having::Role).map_err(Failure::from)?;
        let mut admins = admins.iter().filter(|(_, special)| special.role == Some(Role::Admin));
        let others = admins.any(|(other, _)| other != name);
        if self.last || others || role == Some(Role::Admin) {
            return Ok(());
        }
        Err(Failure::failed(format!("no admin is left without {name}"))
            .hint("make another first: radmfa admin add NAME --role admin; or say --last")
            .into())
    }
}

fn list(admin: &mut dyn Store) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(&["name", "role", "local-password", "tokens", "disabled"]);
    for (name, special) in admin.users_with(Having::Role).map_err(Failure::from)? {
        let user = admin.user(&name).map_err(Failure::from)?;
        listing.row([
            json!(name.as_str()),
            json!(special.role.map(Role::code)),
            json!(user.fields.password_hash.is_some()),
            json!(user.tokens.iter().map(|serial| &**serial).collect::<Vec<_>>()),
            json!(user.fields.disabled),
        ]);
    }
    Ok(listing)
}
