//! The blocking face of a store, for commands: an admin's changes, lists and the trail.
//!
//! A call that has returned is durable, and a server that runs on the same store sees it at the next login. No
//! call holds the store's write lock for more than a few milliseconds, however much it changes. Every change leaves a row
//! in the trail, in the transaction that makes it, with who did it ([`super::act`]).

mod tokens;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::tokens::check_serial;
pub use self::tokens::{NewToken, Replacement, SERIAL_MAX, TokenDetails, TokenFields};
pub use self::users::{GROUPS_MAX, UserDetails, UserFields, UserRow};

use super::StoreFault;
use super::act::{Act, Origin};
use super::report::Reports;
use super::trail::Trail;
use super::user_act::UserAct;
use crate::base::name::{GroupName, Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Durations, LoginId, Record};
use crate::engine::special::Special;

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

    /// Sets the count of failures back to none, by a row in the trail, and forgives wrong passwords.
    fn unlock(&mut self, name: &UserName) -> Result<(), AdminFault> {
        self.act_for(name, &UserAct::Unlock)
    }

    /// Wrong codes of a user within thirty days, successes between or not.
    fn failures_of_late(&mut self, name: &UserName) -> Result<u32, AdminFault>;

    /// Does something for a user, with its row in the trail. Nothing is done where it makes no sense.
    fn act_for(&mut self, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault>;

    /// Users who have this, by name, with what is special about them. What its time has ended may be among it.
    fn users_with(&mut self, what: Having) -> Result<Vec<(UserName, Arc<Special>)>, AdminFault> {
        let mut found = Vec::new();
        for user in self.users(&UserFilter::default())? {
            let query = UserQuery { user: user.name, seeds: false, look_alikes: false };
            if let UserAnswer::Found(account) = self.account(&query)
                && let Some(special) = account.special.filter(|special| what.is_in(special))
            {
                found.push((account.name, special));
            }
        }
        Ok(found)
    }

    /// Users who have a remembered factor.
    fn remembered(&mut self) -> Result<Vec<(UserName, Arc<Special>)>, AdminFault> {
        self.users_with(Having::Session)
    }

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

    /// Shows a token that is nobody's to `judge`, with its seed, and uses up the step or counter that is answered, with a row in the
    /// trail; `None` changes nothing. It may be asked more than once. [`AdminFault::Invalid`] where somebody owns the token.
    fn verify_stock(
        &mut self,
        serial: &str,
        judge: &mut dyn FnMut(&TokenDetails, &Secret) -> Option<u64>,
    ) -> Result<(), AdminFault>;

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

    /// From here on `origin` works on it.
    fn work_as(&mut self, origin: Origin);

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

    /// What a server noted under `name` between two starts; `None` where it noted nothing.
    fn memo(&mut self, name: &str) -> Result<Option<String>, AdminFault>;

    /// Notes `text` in place of what was noted under `name`. It is nobody's act: no row says so.
    fn set_memo(&mut self, name: &str, text: &str) -> Result<(), AdminFault>;

    /// The same unless something was noted under `name` before, by whatever server; answers what stands there now.
    fn memo_once(&mut self, name: &str, text: &str) -> Result<String, AdminFault>;

    /// Changes what is noted under `name` as `edit` does, with the row of `act`, in one transaction.
    fn change_memo(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Result<String, AdminFault>,
        act: Act,
    ) -> Result<(), AdminFault>;

    /// Lets `address` of `client`, or every address of it, go without Message-Authenticator again. Answers how many
    /// were raised. A running server keeps what it has in memory until it reads them again.
    fn relax(&mut self, client: &Label, address: Option<IpAddr>) -> Result<usize, AdminFault>;
}

/// Something that few users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Having {
    /// A remembered factor.
    Session,
    /// A role at the admins' pages.
    Role,
}

impl Having {
    /// Whether it is among what is special about a user.
    #[must_use]
    pub fn is_in(self, special: &Special) -> bool {
        match self {
            Having::Session => !special.sessions.is_empty(),
            Having::Role => special.role.is_some(),
        }
    }
}

/// Which users to list.
#[derive(Clone, Debug)]
pub struct UserFilter {
    /// Only names that contain this (in canonical form).
    pub contains: Option<String>,
    /// Only those in this group.
    pub group: Option<GroupName>,
    /// Only those who may be kept out: disabled, with something special (a block), or with wrong codes that stand against
    /// them. A store may answer others too: it saves reading everybody.
    pub kept_out: bool,
    /// Only names after this one, for the next page.
    pub after: Option<UserName>,
    /// At most so many.
    pub limit: usize,
}

impl Default for UserFilter {
    /// All.
    fn default() -> UserFilter {
        UserFilter { contains: None, group: None, kept_out: false, after: None, limit: usize::MAX }
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

    pub(super) fn seed_damaged(serial: &str) -> AdminFault {
        AdminFault::Invalid(format!("the seed of token {serial} is damaged"))
    }

    pub(super) fn nobodys(serial: &str) -> AdminFault {
        AdminFault::Invalid(format!("token {serial} belongs to nobody, so nobody needs another in its place"))
    }

    pub(super) fn somebodys(serial: &str) -> AdminFault {
        AdminFault::Invalid(format!("token {serial} belongs to somebody by now"))
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
