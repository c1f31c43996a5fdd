//! Role that counts for an item: that of its group, or of all groups.

use spared_sdk::Role;

#[derive(Debug)]
pub(super) struct Membership {
    role: Option<Role>,
    previous: Option<Role>,
    /// True if the role of its group was reported, or it belongs to no group.
    is_group_known: bool,
    /// True if the item keeps its role while this node is in maintenance.
    is_kept_in_maintenance: bool,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            role: None,
            previous: None,
            is_group_known: true,
            is_kept_in_maintenance: false,
        }
    }
}

impl Membership {
    /// Takes another role, or none; returns true if the item leaves the active role.
    pub(super) fn handle_role(&mut self, role: Option<Role>) -> bool {
        self.previous = std::mem::replace(&mut self.role, role);
        self.previous == Some(Role::Active)
    }

    pub(super) fn handle_groups(&mut self, is_group_known: bool, is_kept_in_maintenance: bool) {
        (self.is_group_known, self.is_kept_in_maintenance) =
            (is_group_known, is_kept_in_maintenance);
    }

    pub(super) fn role(&self) -> Option<Role> {
        self.role
    }

    pub(super) fn is_active(&self) -> bool {
        self.role == Some(Role::Active)
    }

    pub(super) fn previous(&self) -> Option<Role> {
        self.previous
    }

    pub(super) fn is_group_known(&self) -> bool {
        self.is_group_known
    }

    pub(super) fn is_kept_in_maintenance(&self) -> bool {
        self.is_kept_in_maintenance
    }
}
