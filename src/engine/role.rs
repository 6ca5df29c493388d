//! What somebody may do at the admins' pages.

use std::fmt;

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads everything, changes nothing.
    Auditor,
    /// Helps users who have no role.
    HelpDesk,
    /// Does everything, but nothing to themselves.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Role; 3] = [Role::Auditor, Role::HelpDesk, Role::Admin];

    /// The word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Role::Auditor => "auditor",
            Role::HelpDesk => "helpdesk",
            Role::Admin => "admin",
        }
    }

    /// Back from [`Role::code`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.code() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}
