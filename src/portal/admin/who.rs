//! Who acts at the admins' pages, and what they may do: the one place where that is decided.
//!
//! ```text
//! auditor   reads everything
//! help desk the same, and helps users who have no role
//! admin     everything, also to those who have a role
//! ```
//! Nobody does anything to themselves. A program's token has a role and is nobody's self.

use std::sync::Arc;

use crate::base::name::UserName;
use crate::engine::role::Role;
use crate::portal::desk::{Person, Through};

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the trail names them.
    pub name: Arc<str>,
    /// Who, where it is no program.
    pub user: Option<UserName>,
    /// What they may do.
    pub role: Role,
}

/// What an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It changes nothing.
    Read,
    /// It helps one user.
    Help,
    /// It says who may do what.
    Manage,
}

/// Whom an operation concerns.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Who.
    pub name: &'a UserName,
    /// The role that they have.
    pub role: Option<Role>,
}

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Their role only reads, or does not go so far.
    #[error("your role does not allow it")]
    Role,
    /// Whoever has a role is an admin's business.
    #[error("whoever has a role is touched by admins alone")]
    HasRole,
    /// Nobody does anything to themselves.
    #[error("nobody changes anything of their own here: ask another admin")]
    Themselves,
}

impl Caller {
    /// A program that showed the token called `name`.
    #[must_use]
    pub fn program(name: &str, role: Role) -> Caller {
        Caller { name: format!("token {name}").into(), user: None, role }
    }

    /// A user of the pages.
    #[must_use]
    pub fn user(user: &UserName, role: Role) -> Caller {
        Caller { name: user.as_str().into(), user: Some(user.clone()), role }
    }

    /// As the trail has it.
    #[must_use]
    pub fn person(&self) -> Person {
        Person { name: Arc::clone(&self.name), through: Through::Admin }
    }

    /// Whether they may do something that takes `need`, to `target` if it concerns anybody.
    pub fn may(&self, need: Need, target: Option<Target<'_>>) -> Result<(), Refusal> {
        let most = match self.role {
            Role::Auditor => Need::Read,
            Role::HelpDesk => Need::Help,
            Role::Admin => Need::Manage,
        };
        if need > most {
            return Err(Refusal::Role);
        }
        let Some(target) = target.filter(|_| need > Need::Read) else { return Ok(()) };
        if self.user.as_ref() == Some(target.name) {
            return Err(Refusal::Themselves);
        }
        if target.role.is_some() && self.role != Role::Admin {
            return Err(Refusal::HasRole);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn may(caller: &Caller, need: Need, target: &str, role: Option<Role>) -> Result<(), Refusal> {
        caller.may(need, Some(Target { name: &name(target), role }))
    }

    #[test]
    fn auditors_read_and_change_nothing() {
        let caller = Caller::user(&name("olga"), Role::Auditor);
        assert_eq!(may(&caller, Need::Read, "olga", Some(Role::Auditor)), Ok(()));
        for need in [Need::Help, Need::Manage] {
            assert_eq!(may(&caller, need, "alice", None), Err(Refusal::Role));
        }
    }

    #[test]
    fn the_help_desk_helps_those_who_have_no_role_and_not_itself() {
        let caller = Caller::user(&name("olga"), Role::HelpDesk);
        assert_eq!(may(&caller, Need::Help, "alice", None), Ok(()));
        assert_eq!(may(&caller, Need::Manage, "alice", None), Err(Refusal::Role));
        for role in Role::ALL {
            assert_eq!(may(&caller, Need::Help, "bob", Some(role)), Err(Refusal::HasRole));
        }
        assert_eq!(may(&caller, Need::Help, "olga", Some(Role::HelpDesk)), Err(Refusal::Themselves));
        assert_eq!(may(&caller, Need::Read, "olga", Some(Role::HelpDesk)), Ok(()));
    }

    #[test]
    fn admins_do_everything_but_nothing_to_themselves() {
        let caller = Caller::user(&name("olga"), Role::Admin);
        for need in [Need::Read, Need::Help, Need::Manage] {
            assert_eq!(may(&caller, need, "bob", Some(Role::Admin)), Ok(()));
            let own = may(&caller, need, "OLGA", Some(Role::Admin));
            assert_eq!(own, if need == Need::Read { Ok(()) } else { Err(Refusal::Themselves) });
        }
        let program = Caller::program("olga", Role::Admin);
        assert_eq!(may(&program, Need::Manage, "olga", Some(Role::Admin)), Ok(()));
        assert_eq!(&*program.name, "token olga");
    }
}
