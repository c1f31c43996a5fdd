//! The role that counts for an item, by its group or by all of them.

use spared_sdk::Role;

#[derive(Debug)]
pub(super) struct Membership {
    role: Option<Role>,
    previous: Option<Role>,
    /// Somebody has told the role of its group, or it has none.
    is_group_known: bool,
    /// The item keeps its role while this node is in maintenance.
    is_held: bool,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            role: None,
            previous: None,
            is_group_known: true,
            is_held: false,
        }
    }
}

impl Membership {
    /// Another role counts, or none; returns whether the item leaves the active role.
    pub(super) fn handle_role(&mut self, role: Option<Role>) -> bool {
        self.previous = std::mem::replace(&mut self.role, role);
        self.previous == Some(Role::Active)
    }

    pub(super) fn handle_groups(&mut self, is_group_known: bool, is_held: bool) {
        (self.is_group_known, self.is_held) = (is_group_known, is_held);
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

    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }
}
