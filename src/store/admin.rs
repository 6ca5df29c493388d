//! The blocking face of a store, for commands: an admin's changes, lists and the trail.
//!
//! A call that has returned is durable, and a server that runs on the same store sees it at the next login. No
//! call holds the store's write lock for more than a few milliseconds, however much it changes. Every change leaves a row
//! in the trail, in the transaction that makes it, with who did it ([`super::act`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::StoreFault;
use super::act::Origin;
use super::report::Reports;
use super::trail::Trail;
use super::user_act::UserAct;
use crate::base::name::{GroupName, Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{Contact, TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Durations, LoginId, Record};
use crate::factor::oath::{Drift, Moving, Parameters};

/// What a command can ask of a store.
pub trait Admin: Send {
    /// Makes a user. [`AdminFault::Exists`] where the name is taken.
    fn add_user(&mut self, name: &UserName, fields: &UserFields) -> Result<UserId, AdminFault>;

    /// One user with its tokens.
    fn user(&mut self, name: &UserName) -> Result<UserDetails, AdminFault>;

    /// Users by name, in ascending order.
    fn users(&mut self, filter: &UserFilter) -> Result<Vec<UserDetails>, AdminFault>;

    /// Changes a user's fields as `edit` does, in one transaction with their reading.
    fn set_user(&mut self, name: &UserName, edit: &mut dyn FnMut(&mut UserFields)) -> Result<(), AdminFault>;

    /// Removes a user. Its tokens stay, unassigned; its audit rows stay. Answers the serials of those tokens.
    fn remove_user(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, AdminFault>;

    /// Sets the count of failures back to none, by a row in the trail.
    fn unlock(&mut self, name: &UserName) -> Result<(), AdminFault>;

    /// Wrong codes of a user within thirty days, successes between or not.
    fn failures_of_late(&mut self, name: &UserName) -> Result<u32, AdminFault>;

    /// Does something for a user, with its row in the trail. Nothing is done where it makes no sense.
    fn act_for(&mut self, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault>;

    /// Adds a token, to a user that is there or to nobody. [`AdminFault::Exists`] where the serial is taken.
    fn add_token(&mut self, token: &NewToken) -> Result<TokenId, AdminFault>;

    /// One token.
    fn token(&mut self, serial: &str) -> Result<TokenDetails, AdminFault>;

    /// Tokens by serial, in ascending order.
    fn tokens(&mut self, filter: &TokenFilter) -> Result<Vec<TokenDetails>, AdminFault>;

    /// Gives a token to a user, or with `None` takes it back. Steps it has spent stay spent.
    fn assign_token(&mut self, serial: &str, user: Option<&UserName>) -> Result<(), AdminFault>;

    /// Switches a token on or off.
    fn enable_token(&mut self, serial: &str, enabled: bool) -> Result<(), AdminFault>;

    /// Changes what is known of a token as `edit` does, in one transaction with its reading.
    fn set_token(&mut self, serial: &str, edit: &mut dyn FnMut(&mut TokenFields)) -> Result<(), AdminFault>;

    /// Gives a token another serial number, [`AdminFault::Exists`] where it is taken. Steps it has spent stay spent, under
    /// both numbers.
    fn rename_token(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault>;

    /// Disables a user's token, and gives the user another one in its place, all at once. [`AdminFault::Invalid`] where the
    /// token is nobody's, or the other one is somebody else's or not usable.
    fn replace_token(&mut self, serial: &str, by: &Replacement) -> Result<UserName, AdminFault>;

    /// Removes a token with its seed. Its audit rows stay, and steps it has spent stay spent: a token that is added or
    /// imported under the same serial and interval (or as a counter token again) begins with them.
    fn remove_token(&mut self, serial: &str) -> Result<(), AdminFault>;

    /// Adds all of `rows` or none: none where any row conflicts, or with `dry_run`. Users that are not there are made.
    /// A row that is there already, equal in everything, is counted as unchanged. `progress` hears how many of the
    /// rows are done; `false` from it abandons the import.
    fn import(
        &mut self,
        rows: &[NewToken],
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault>;

    /// Adds the users of all `rows` or of none: none where any row conflicts, or with `dry_run`. A user that is there already
    /// is a conflict, unless it says nothing new, or `update` lets it be changed: then what a row says is set, and the rest
    /// stays. `progress` as for [`Admin::import`].
    fn import_users(
        &mut self,
        rows: &[UserRow],
        update: bool,
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault>;

    /// Gives these tokens to `take`, each with its seed: for an export, and nothing else takes seeds out. The row that says
    /// so is durable before a seed is handed out. `false` from `take` stops it.
    fn export(
        &mut self,
        serials: &[Arc<str>],
        take: &mut dyn FnMut(&TokenDetails, &Secret) -> bool,
    ) -> Result<(), AdminFault>;

    /// Who works on the store, as rows name them.
    fn origin(&self) -> &Origin;

    /// The trail as auditors need it.
    fn trail(&mut self) -> &mut dyn Trail;

    /// What reports ask.
    fn reports(&mut self) -> &mut dyn Reports;

    /// Reads a user as a login does ([`super::Logins::find`]).
    fn account(&mut self, query: &UserQuery) -> UserAnswer;

    /// Appends a record as a login does ([`super::Logins::commit`]).
    fn append(&mut self, record: &Record) -> CommitAnswer;

    /// The trail, newest first.
    fn audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, AdminFault>;

    /// Whether most tokens' clocks are off by more than a step, so that it must be this machine's that is wrong.
    fn clock_suspect(&mut self) -> Result<bool, AdminFault>;

    /// When the newest row of the trail was written; a clock well before it is wrong (`clock-behind`).
    fn newest_row_time(&mut self) -> Result<Option<UnixTime>, AdminFault>;

    /// Every address that is held to Message-Authenticator because it once sent a valid one.
    fn postures(&mut self) -> Result<Vec<Posture>, AdminFault>;

    /// Lets `address` of `client`, or every address of it, go without Message-Authenticator again. Answers how many
    /// were raised. A running server keeps what it has in memory until it reads them again.
    fn relax(&mut self, client: &Label, address: Option<IpAddr>) -> Result<usize, AdminFault>;
}

/// What an admin may say about a user. Empty text is stored as it is; `None` is "not said".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFields {
    /// The name for people to read.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub mail: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// What to dial after [`UserFields::phone`] answers: digits, `*`, `#`, and commas for pauses.
    pub extension: Option<String>,
    /// The method that is tried first where a user has several: `totp`, `push`, `sms`, `call` or `mail`.
    pub method: Option<String>,
    /// The language for messages, a tag such as `de` or `pt-BR` (BCP 47).
    pub language: Option<String>,
    /// The argon2id hash (PHC string) of the local password.
    pub password_hash: Option<Arc<str>>,
    /// May not log in.
    pub disabled: bool,
    /// The groups that the user is in, by which rules may go: in ascending order, each once, at most [`GROUPS_MAX`];
    /// `None` where there are none.
    pub groups: Option<Arc<[GroupName]>>,
}

/// The most groups that a user can be in.
pub const GROUPS_MAX: usize = 100;

impl UserFields {
    /// Whether the user is in `group`.
    #[must_use]
    pub fn is_in(&self, group: &GroupName) -> bool {
        self.groups.as_ref().is_some_and(|groups| groups.contains(group))
    }

    /// Puts `groups` in the place of those that there were.
    pub fn set_groups(&mut self, mut groups: Vec<GroupName>) -> Result<(), AdminFault> {
        groups.sort_unstable();
        groups.dedup();
        if groups.len() > GROUPS_MAX {
            return Err(AdminFault::Invalid(format!("a user is in {GROUPS_MAX} groups at most")));
        }
        self.groups = Some(groups).filter(|groups| !groups.is_empty()).map(Into::into);
        Ok(())
    }
}

impl UserFields {
    /// The fields that say who the user is; `None` where nothing does.
    #[must_use]
    pub fn contact(&self) -> Option<Arc<Contact>> {
        let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
        let contact = Contact {
            display: boxed(&self.display_name),
            first: boxed(&self.first_name),
            last: boxed(&self.last_name),
            mail: boxed(&self.mail),
            phone: boxed(&self.phone),
            language: boxed(&self.language),
        };
        (contact != Contact::default()).then(|| Arc::new(contact))
    }

    /// The names of the fields in which `other` differs, for the trail: never what stands in them.
    pub(super) fn changes(&self, other: &UserFields) -> String {
        let differs = [
            ("display-name", self.display_name != other.display_name),
            ("first-name", self.first_name != other.first_name),
            ("last-name", self.last_name != other.last_name),
            ("mail", self.mail != other.mail),
            ("phone", self.phone != other.phone),
            ("extension", self.extension != other.extension),
            ("method", self.method != other.method),
            ("language", self.language != other.language),
            ("groups", self.groups != other.groups),
            ("password", self.password_hash != other.password_hash),
            ("disabled", other.disabled && !self.disabled),
            ("enabled", !other.disabled && self.disabled),
        ];
        let names: Vec<&str> =
            differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// A user as a file describes it. What is `None` is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The name.
    pub name: UserName,
    /// What the file says; `disabled` and the password stand for nothing here.
    pub fields: UserFields,
    /// Whether the user may log in.
    pub enabled: Option<bool>,
}

impl UserRow {
    /// `fields` with all that the row says.
    #[must_use]
    pub fn over(&self, fields: &UserFields) -> UserFields {
        let said = |row: &Option<String>, known: &Option<String>| row.clone().or_else(|| known.clone());
        UserFields {
            display_name: said(&self.fields.display_name, &fields.display_name),
            first_name: said(&self.fields.first_name, &fields.first_name),
            last_name: said(&self.fields.last_name, &fields.last_name),
            mail: said(&self.fields.mail, &fields.mail),
            phone: said(&self.fields.phone, &fields.phone),
            // An extension belongs to its number.
            extension: if self.fields.phone.is_some() {
                self.fields.extension.clone()
            } else {
                fields.extension.clone()
            },
            method: said(&self.fields.method, &fields.method),
            language: said(&self.fields.language, &fields.language),
            disabled: self.enabled.map_or(fields.disabled, |enabled| !enabled),
            password_hash: fields.password_hash.clone(),
            groups: fields.groups.clone(),
        }
    }
}

/// A user as an admin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDetails {
    /// The store's number.
    pub id: UserId,
    /// The canonical name.
    pub name: UserName,
    /// What was said about the user.
    pub fields: UserFields,
    /// Wrong codes since the last success.
    pub failures: u32,
    /// When the last of them was; 1970 where there are none.
    pub last_failure: UnixTime,
    /// When the user was made.
    pub created: UnixTime,
    /// Serials of the tokens, oldest first.
    pub tokens: Vec<Arc<str>>,
}

/// A token to be added.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What is printed on it: 1 to [`SERIAL_MAX`] printable characters, unique in the store.
    pub serial: Arc<str>,
    /// Whose it is.
    pub user: Option<UserName>,
    /// The seed.
    pub seed: Secret,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The next counter of a counter token; says nothing about others.
    pub counter: u64,
    /// What is known of it.
    pub fields: TokenFields,
}

/// What may be known of a token beside its secret. None of it is compared when a token is imported again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFields {
    /// What its owner or the help desk calls it.
    pub label: Option<Arc<str>>,
    /// Who made it.
    pub manufacturer: Option<Arc<str>>,
    /// Which model it is.
    pub model: Option<Arc<str>>,
    /// From when on it is not usable any more.
    pub expires: Option<UnixTime>,
}

/// What takes a token's place.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// A token that is there already, nobody's or the same user's.
    Stock(Arc<str>),
    /// A new one; whose it is said to be does not matter.
    Made(Box<NewToken>),
}

impl Replacement {
    /// The serial number of what takes the place.
    pub fn serial(&self) -> &Arc<str> {
        match self {
            Replacement::Stock(serial) => serial,
            Replacement::Made(token) => &token.serial,
        }
    }

    /// Refuses a token in stock that cannot take the place of one of `user`'s.
    pub(super) fn fits(
        serial: &str,
        owner: Option<&UserName>,
        user: &UserName,
        enabled: bool,
        expired: bool,
    ) -> Result<(), AdminFault> {
        let wrong = match owner {
            Some(owner) if owner != user => format!("belongs to {owner}"),
            _ if !enabled => "is disabled".to_owned(),
            _ if expired => "has expired".to_owned(),
            _ => return Ok(()),
        };
        Err(AdminFault::Invalid(format!("token {serial} {wrong}; it can take nothing's place")))
    }
}

/// The longest serial number, in octets.
pub const SERIAL_MAX: usize = 64;

/// Refuses a serial that cannot be one.
pub(super) fn check_serial(serial: &str) -> Result<(), AdminFault> {
    let fits = (1..=SERIAL_MAX).contains(&serial.len());
    let plain = !serial.chars().any(crate::base::text::is_unprintable);
    if fits && plain && serial.trim() == serial {
        return Ok(());
    }
    Err(AdminFault::Invalid(format!(
        "a serial has 1 to {SERIAL_MAX} printable characters and no space around them"
    )))
}

impl NewToken {
    /// A token of which nothing else is known; a counter token begins at 0.
    pub fn new(
        serial: impl Into<Arc<str>>,
        user: Option<UserName>,
        seed: Secret,
        parameters: Parameters,
    ) -> NewToken {
        NewToken { serial: serial.into(), user, seed, parameters, counter: 0, fields: TokenFields::default() }
    }

    /// The counter before the first one that is good: what a store keeps as the last one accepted.
    pub(super) fn last_counter(&self) -> Option<u64> {
        match self.parameters.moving {
            Moving::Counter => self.counter.checked_sub(1),
            Moving::Time { .. } => None,
        }
    }

    /// Whether both say the same.
    pub(super) fn same_as(&self, other: &NewToken) -> bool {
        self.serial == other.serial
            && self.user == other.user
            && self.parameters == other.parameters
            && self.seed == other.seed
    }

    /// Refuses a serial that cannot be one.
    pub(super) fn check(&self) -> Result<(), AdminFault> {
        check_serial(&self.serial)
    }
}

/// A token as an admin sees it; the seed stays sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDetails {
    /// The store's number.
    pub id: TokenId,
    /// What is printed on it.
    pub serial: Arc<str>,
    /// Whose it is.
    pub user: Option<UserName>,
    /// Whether it may be used.
    pub enabled: bool,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The last time step or counter accepted; of a counter token that begins after 0, the one before its first.
    pub last_step: Option<u64>,
    /// How far its clock was off of late; `None` before the first use, and for a counter token.
    pub drift: Option<Drift>,
    /// What is known of it.
    pub fields: TokenFields,
    /// When it was added.
    pub created: UnixTime,
}

/// Which users to list.
#[derive(Clone, Debug)]
pub struct UserFilter {
    /// Only names that contain this (in canonical form).
    pub contains: Option<String>,
    /// Only those in this group.
    pub group: Option<GroupName>,
    /// Only names after this one, for the next page.
    pub after: Option<UserName>,
    /// At most so many.
    pub limit: usize,
}

impl Default for UserFilter {
    /// All.
    fn default() -> UserFilter {
        UserFilter { contains: None, group: None, after: None, limit: usize::MAX }
    }
}

/// Which tokens to list.
#[derive(Clone, Debug)]
pub struct TokenFilter {
    /// Only tokens of this user.
    pub user: Option<UserName>,
    /// Only tokens of nobody.
    pub unassigned: bool,
    /// Only serials that contain this.
    pub contains: Option<String>,
    /// Only serials after this one, for the next page.
    pub after: Option<Arc<str>>,
    /// At most so many.
    pub limit: usize,
}

impl Default for TokenFilter {
    /// All.
    fn default() -> TokenFilter {
        TokenFilter { user: None, unassigned: false, contains: None, after: None, limit: usize::MAX }
    }
}

/// Which rows of the trail to read.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    /// At most so many.
    pub limit: usize,
    /// Only rows of this moment or later.
    pub since: Option<UnixTime>,
    /// Only rows of this user.
    pub user: Option<UserName>,
    /// Only rows of this login.
    pub login: Option<LoginId>,
}

impl Default for AuditFilter {
    /// The newest hundred.
    fn default() -> AuditFilter {
        AuditFilter { limit: 100, since: None, user: None, login: None }
    }
}

/// A row of the trail as it was written, in words, so that rows of a newer version can be read too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the chain.
    pub sequence: u64,
    /// When it was decided.
    pub time: UnixTime,
    /// Which login.
    pub login: LoginId,
    /// The server that decided.
    pub server: String,
    /// The address and port that was asked; empty in an admin's act.
    pub local: String,
    /// The RADIUS client.
    pub client: String,
    /// Address and port that asked; empty in an admin's act.
    pub source: String,
    /// The canonical user name.
    pub user: Option<String>,
    /// The user's number, where the user was known.
    pub user_id: Option<UserId>,
    /// The user's name for people to read.
    pub display_name: Option<String>,
    /// The user's given name.
    pub first_name: Option<String>,
    /// The user's family name.
    pub last_name: Option<String>,
    /// The user's e-mail address.
    pub mail: Option<String>,
    /// The user's telephone number, or its last digits.
    pub phone: Option<String>,
    /// Calling-Station-Id, escaped.
    pub station: Option<String>,
    /// [`crate::engine::record::Verdict::code`].
    pub verdict: String,
    /// [`crate::engine::reason::Reason::code`].
    pub reason: String,
    /// [`crate::engine::record::Method::code`].
    pub method: String,
    /// The kind of credential.
    pub protocol: String,
    /// Serial of the token that decided.
    pub device: Option<String>,
    /// The token and the step or counter that the row spent.
    pub spent: Option<(TokenId, u64)>,
    /// From the first request of the login to the decision.
    pub took: Duration,
    /// Which parts of it were whose.
    pub durations: Durations,
    /// How many refusals, or imported things, the row stands for.
    pub count: u32,
    /// The system user who did it, where an admin did.
    pub actor: Option<String>,
    /// What an admin did, or why.
    pub note: Option<String>,
    /// The personal part was taken out of the trail.
    pub erased: bool,
}

/// An address held to Message-Authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// The client's configured name.
    pub client: Label,
    /// The source address.
    pub address: IpAddr,
    /// Since when.
    pub raised: UnixTime,
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Tokens that are new.
    pub added: usize,
    /// Tokens that were there already, equal in everything.
    pub unchanged: usize,
    /// Users that are new.
    pub users_made: usize,
    /// Users that were there and say something else now.
    pub users_changed: usize,
    /// Rows that cannot be taken, in ascending order. Nothing was changed where there are any.
    pub conflicts: Vec<ImportConflict>,
    /// `progress` asked to stop; nothing was changed.
    pub abandoned: bool,
}

impl ImportReport {
    /// Takes the rows that cannot be taken out of what was said of each row.
    pub fn take_out<T>(&self, rows: &mut Vec<T>) {
        let mut refused = self.conflicts.iter().map(|conflict| conflict.row).peekable();
        let mut row = 0;
        rows.retain(|_| {
            let keep = refused.next_if_eq(&row).is_none();
            row += 1;
            keep
        });
    }
}

/// A row that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportConflict {
    /// Which row, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub what: String,
}

impl ImportConflict {
    pub(super) fn twice(serial: &str) -> String {
        format!("serial {serial} stands in an earlier row with another user, secret or parameters")
    }

    pub(super) fn user_twice(name: &UserName) -> String {
        format!("user {name} stands in an earlier row and is described otherwise there")
    }

    pub(super) fn user_exists(name: &UserName) -> String {
        format!("user {name} is there already and is described otherwise; --update changes it")
    }

    pub(super) fn differs(serial: &str) -> String {
        format!("serial {serial} is in the store with another user, secret or parameters")
    }
}

/// Why a command's call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(String),
    /// There is such a thing already.
    #[error("{0} is there already")]
    Exists(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl AdminFault {
    pub(super) fn no_user(name: &UserName) -> AdminFault {
        AdminFault::Missing(format!("user {name}"))
    }

    pub(super) fn no_token(serial: &str) -> AdminFault {
        AdminFault::Missing(format!("token {serial}"))
    }

    pub(super) fn nobodys(serial: &str) -> AdminFault {
        AdminFault::Invalid(format!("token {serial} belongs to nobody, so nobody needs another in its place"))
    }

    pub(super) fn itself(serial: &str) -> AdminFault {
        AdminFault::Invalid(format!("token {serial} cannot take its own place"))
    }

    pub(super) fn user_exists(name: &UserName) -> AdminFault {
        AdminFault::Exists(format!("user {name}"))
    }

    pub(super) fn token_exists(serial: &str) -> AdminFault {
        AdminFault::Exists(format!("token {serial}"))
    }
}
