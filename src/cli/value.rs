//! What the values of flags and arguments are read as, by more than one command.

use std::time::Duration;

use crate::base::name::{GroupName, Label, UserName};
use crate::config;

/// A user's name.
pub(crate) fn user_name(text: &str) -> Result<UserName, String> {
    UserName::canonical(text.as_bytes()).map_err(|fault| fault.to_string())
}

/// A group's name.
pub(crate) fn group_name(text: &str) -> Result<GroupName, String> {
    GroupName::canonical(text.as_bytes()).map_err(|fault| fault.to_string())
}

/// What something of the configuration is called.
pub(crate) fn label(text: &str) -> Result<Label, String> {
    Label::new(text).map_err(|fault| fault.to_string())
}

/// A time.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    config::span(text).ok_or_else(|| "takes a number with a unit, such as 300s, 12h or 90d".to_owned())
}
