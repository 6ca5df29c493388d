//! The groups that a user is in, as flags of `radmfa user set` and in lists.

use crate::base::name::GroupName;
use crate::cli::value::group_name;
use crate::store::admin::{AdminFault, UserFields};

/// The groups that rules go by.
#[derive(Debug, clap::Args)]
pub(super) struct GroupFlags {
    /// Be in this group, and with it repeated in these, and in no other; empty for none
    #[arg(long = "group", value_name = "NAME", conflicts_with_all = ["add", "remove"])]
    set: Vec<String>,
    /// Be in this group too; repeatable
    #[arg(id = "add", long = "add-group", value_name = "NAME", value_parser = group_name)]
    add: Vec<GroupName>,
    /// Be in this group no more; repeatable
    #[arg(id = "remove", long = "remove-group", value_name = "NAME", value_parser = group_name)]
    remove: Vec<GroupName>,
}

impl GroupFlags {
    pub(super) fn are_none(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Changes the user's groups, or says why it cannot be.
    pub(super) fn apply(&self, user: &mut UserFields) -> Result<(), AdminFault> {
        if self.are_none() {
            return Ok(());
        }
        let mut groups: Vec<GroupName> =
            user.groups.iter().flat_map(|groups| groups.iter()).cloned().collect();
        if !self.set.is_empty() {
            let named = self.set.iter().filter(|name| !name.is_empty());
            groups =
                named.map(|name| group_name(name).map_err(AdminFault::Invalid)).collect::<Result<_, _>>()?;
        }
        groups.extend(self.add.iter().cloned());
        groups.retain(|group| !self.remove.contains(group));
        user.set_groups(groups)
    }
}

/// The names of a user's groups.
pub(super) fn names(fields: &UserFields) -> impl Iterator<Item = &str> {
    fields.groups.iter().flat_map(|groups| groups.iter()).map(GroupName::as_str)
}
