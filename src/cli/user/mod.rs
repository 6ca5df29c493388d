//! `radmfa user`: who may log in, and what is known of them.

mod arm;
pub(crate) mod block;
mod bypass;
mod erase;
mod groups;
mod import;
mod invite;
mod pin;
mod recovery;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Subcommand, ValueHint};
use serde_json::{Value, json};

use super::value::{group_name, user_name};
use crate::base::name::{GroupName, UserName};
use crate::base::secret::Secret;
use crate::cli::output::{FormatFlag, Listing, printable, say};
use crate::cli::store::{Missing, entropy, open};
use crate::cli::why::Why;
use crate::cli::{failure::Failure, input};
use crate::config::flags::StoreFlags;
use crate::primary::local::hash_password;
use crate::store::admin::{AdminFault, UserDetails, UserFields, UserFilter};
use crate::store::people;

/// Add, list and change users
#[derive(Debug, clap::Args)]
pub(crate) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    Add {
        /// The name that the user logs in with
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        fields: FieldFlags,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List users
    List {
        /// Only names that contain this
        #[arg(long, value_name = "TEXT")]
        contains: Option<String>,
        /// Only users in this group
        #[arg(long, value_name = "NAME", value_parser = group_name)]
        group: Option<GroupName>,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Show all that is known of a user
    Show {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Change what is known of a user
    Set {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        password: PasswordFlags,
        /// Take the local password away
        #[arg(long, conflicts_with_all = ["password", "password_file", "password_stdin"])]
        no_password: bool,
        #[command(flatten)]
        pin: pin::PinFlags,
        #[command(flatten)]
        fields: FieldFlags,
        #[command(flatten)]
        groups: groups::GroupFlags,
        /// Let the user log in no more
        #[arg(long, action = ArgAction::SetTrue)]
        disable: bool,
        /// Let the user log in again
        #[arg(long, action = ArgAction::SetTrue, conflicts_with = "disable")]
        enable: bool,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    Import(import::Import),
    /// Forget a user's wrong codes, wrong passwords and denied pushes, which ends waiting times, locks and pauses
    Unlock {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    Block(block::Block),
    Unblock(block::Unblock),
    Recovery(recovery::Recovery),
    Bypass(bypass::Bypass),
    Arm(arm::Arm),
    Invite(invite::Invite),
    /// Remove a user, and take the name and all that is personal out of the audit trail
    ///
    /// The rows stay, each with a commitment in place of the person, so that the chain still holds. It cannot be taken
    /// back. Logs, backups and exports are not touched.
    Erase {
        /// The user, also one who is in the trail alone
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Remove a user; tokens stay, assigned to nobody
    Remove {
        /// The user
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
}

/// The local password, for clients whose primary is `type=local`. Without any of these there is none.
#[derive(Debug, clap::Args)]
#[group(id = "password_flags", multiple = false)]
pub(crate) struct PasswordFlags {
    /// Ask for a local password at the terminal
    #[arg(long)]
    password: bool,
    /// Read the local password from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Read the local password from standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, clap::Args)]
struct FieldFlags {
    /// The name for people to read; empty takes it away
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// E-mail address; empty takes it away
    #[arg(long, value_name = "ADDRESS")]
    mail: Option<String>,
    /// Telephone number; empty takes it away
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// What to dial after the number answers; empty takes it away
    #[arg(long, value_name = "DIGITS", value_parser = extension)]
    extension: Option<String>,
    /// Given name; empty takes it away
    #[arg(long, value_name = "TEXT")]
    first_name: Option<String>,
    /// Family name; empty takes it away
    #[arg(long, value_name = "TEXT")]
    last_name: Option<String>,
    /// The language for messages, a tag such as de or pt-BR; empty takes it away
    #[arg(long, value_name = "TAG", value_parser = language)]
    language: Option<String>,
    /// The method to try first: totp, push, sms, call or mail; empty takes it away
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<String>,
}

fn extension(text: &str) -> Result<String, String> {
    people::check_extension(text).map(|()| text.to_owned())
}

fn language(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { people::language(text) }
}

fn method(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { people::method(text) }
}

impl User {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { name, password, fields, store } => {
                let mut made = UserFields { password_hash: password.hash()?, ..UserFields::default() };
                fields.apply(&mut made);
                open(&store, Missing::Create)?.add_user(&name, &made).map_err(|fault| match fault {
                    AdminFault::Exists(_) => {
                        Failure::from(fault).hint(format!("radmfa user set {name} changes it"))
                    }
                    fault => fault.into(),
                })?;
                say(format!("added user {name}"))?;
            }
            Action::List { contains, group, limit, format, store } => {
                let filter = UserFilter {
                    contains,
                    group,
                    limit: limit.unwrap_or(usize::MAX),
                    ..UserFilter::default()
                };
                let users = open(&store, Missing::Refuse)?.users(&filter).map_err(Failure::from)?;
                list(&users).print(format.format)?;
            }
            Action::Show { name, format, store } => {
                show::run(&name, format.format, &store)?;
            }
            Action::Set { name, password, no_password, pin, fields, groups, disable, enable, why, store } => {
                let hash = password.hash()?;
                let pin = pin.read()?;
                let nothing = hash.is_none()
                    && !no_password
                    && !disable
                    && !enable
                    && fields.are_none()
                    && groups.are_none();
                if nothing && pin.is_none() {
                    return Err(Failure::usage("nothing to change was said")
                        .hint("radmfa user set --help")
                        .into());
                }
                let mut wrong = None;
                let mut edit = |user: &mut UserFields| {
                    if let Err(fault) = groups.apply(user) {
                        wrong = Some(fault);
                        return;
                    }
                    if hash.is_some() || no_password {
                        user.password_hash.clone_from(&hash);
                    }
                    fields.apply(user);
                    user.disabled = (user.disabled || disable) && !enable;
                };
                let mut admin = why.open(&store)?;
                if let Some(pin) = &pin {
                    admin.act_for(&name, &pin.act()).map_err(Failure::from)?;
                }
                if !nothing {
                    admin.set_user(&name, &mut edit).map_err(Failure::from)?;
                }
                if let Some(fault) = wrong {
                    return Err(Failure::from(fault).into());
                }
                say(format!("changed user {name}"))?;
            }
            Action::Import(import) => import.run()?,
            Action::Unlock { name, why, store } => {
                why.open(&store)?.unlock(&name).map_err(Failure::from)?;
                say(format!("unlocked user {name}"))?;
            }
            Action::Block(block) => block.run()?,
            Action::Unblock(unblock) => unblock.run()?,
            Action::Recovery(recovery) => recovery.run()?,
            Action::Bypass(bypass) => bypass.run()?,
            Action::Arm(arm) => arm.run()?,
            Action::Invite(invite) => invite.run()?,
            Action::Erase { name, store } => erase::run(&name, &store)?,
            Action::Remove { name, why, store } => {
                let serials = why.open(&store)?.remove_user(&name).map_err(Failure::from)?;
                say(format!("removed user {name}"))?;
                for serial in serials {
                    say(format!("token {} is assigned to nobody now", printable(&serial)))?;
                }
            }
        }
        Ok(())
    }
}

impl PasswordFlags {
    /// The hash of the password that they say; `None` where they say none.
    pub(crate) fn hash(&self) -> anyhow::Result<Option<Arc<str>>> {
        let password = match &self.password_file {
            Some(path) => input::secret_file(path)?,
            None if self.password_stdin => input::secret_stdin()?,
            None if self.password => return Self::ask().map(Some),
            None => return Ok(None),
        };
        password_hash(&password).map(Some)
    }

    /// The hash of a password that is asked for at the terminal.
    pub(crate) fn ask() -> anyhow::Result<Arc<str>> {
        password_hash(&input::ask_new_password("--password-file FILE or --password-stdin")?)
    }
}

/// The hash of a new local password.
pub(crate) fn password_hash(password: &Secret) -> anyhow::Result<Arc<str>> {
    if password.is_empty() {
        return Err(Failure::usage("the password is empty").into());
    }
    if password.len() > 128 {
        return Err(Failure::usage(format!(
            "the password has {} octets; RADIUS carries 128",
            password.len()
        ))
        .into());
    }
    Ok(hash_password(password, &mut entropy()?).into())
}

impl FieldFlags {
    fn are_none(&self) -> bool {
        let said = [&self.display_name, &self.mail, &self.phone, &self.extension, &self.first_name];
        let more = [&self.last_name, &self.language, &self.method];
        said.into_iter().chain(more).all(Option::is_none)
    }

    fn apply(&self, user: &mut UserFields) {
        let fields = [
            (&self.display_name, &mut user.display_name),
            (&self.mail, &mut user.mail),
            (&self.phone, &mut user.phone),
            (&self.extension, &mut user.extension),
            (&self.first_name, &mut user.first_name),
            (&self.last_name, &mut user.last_name),
            (&self.language, &mut user.language),
            (&self.method, &mut user.method),
        ];
        for (said, field) in fields {
            if let Some(said) = said {
                *field = Some(said.clone()).filter(|text| !text.is_empty());
            }
        }
    }
}

/// The names of [`cells`]' columns, and of more behind them.
macro_rules! columns {
    ($($more:literal),* $(,)?) => {
        &[
            "name",
            "display-name",
            "mail",
            "phone",
            "tokens",
            "groups",
            "local-password",
            "disabled",
            "wrong-codes",
            "created",
            "first-name",
            "last-name",
            "extension",
            "language",
            "method",
            $($more,)*
        ]
    };
}
use columns;

fn list(users: &[UserDetails]) -> Listing {
    let mut listing = Listing::new(columns!());
    for user in users {
        listing.row(cells(user));
    }
    listing
}

/// A user's row of a list.
fn cells(user: &UserDetails) -> [Value; 15] {
    let fields = &user.fields;
    [
        json!(user.name.as_str()),
        json!(fields.display_name),
        json!(fields.mail),
        json!(fields.phone),
        Value::Array(user.tokens.iter().map(|serial| json!(&**serial)).collect()),
        Value::Array(groups::names(fields).map(|group| json!(group)).collect()),
        json!(fields.password_hash.is_some()),
        json!(fields.disabled),
        json!(user.failures),
        json!(user.created.to_string()),
        json!(fields.first_name),
        json!(fields.last_name),
        json!(fields.extension),
        json!(fields.language),
        json!(fields.method),
    ]
}
