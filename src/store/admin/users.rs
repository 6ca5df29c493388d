//! Users as an admin describes them and sees them.

use std::sync::Arc;

use super::AdminFault;
use crate::base::name::{GroupName, UserName};
use crate::base::time::UnixTime;
use crate::engine::account::{Contact, UserId};
use crate::engine::methods::Factor;

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
            asked_first: self.method.as_deref().and_then(Factor::parse),
        };
        (contact != Contact::default()).then(|| Arc::new(contact))
    }

    /// The names of the fields in which `other` differs, for the trail: never what stands in them.
    pub(in crate::store) fn changes(&self, other: &UserFields) -> String {
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
