//! Role of a group, as its followers get it.

use serde::{Deserialize, Serialize};
use spared_abi as abi;

use crate::named::flags;
use crate::record::record;
use crate::{Cause, Role};

record! {
    /// A group's role, as followers are told it.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RoleEvent {
        /// The configured name.
        pub group: String = 0,
        /// The new role.
        pub role: Role = 1,
        /// The sentence of `sparectl why`.
        pub why: String = 2,
        /// Monotonic time; afterwards the host goes on without the plugin.
        pub deadline_ns: u64 = 3,
        /// This node is in maintenance; the same role comes again when that begins or ends.
        pub maintenance: bool = 4,
        /// Moved by a switchover, not by a failure.
        pub planned: bool = 5,
        /// Role that this plugin was last told for the group.
        pub before: Option<Role> = 6,
        /// Number of the role: the newer of two roles of a group has the greater one.
        pub epoch: u64 = 7,
        /// `why` as data.
        pub cause: Cause = 8,
    }
}

flags! {
    RoleEvent {
        maintenance = ROLE_MAINTENANCE,
        planned = ROLE_PLANNED,
    }
}

impl RoleEvent {
    /// Converts to the form of the C interface, which points to the texts of this value and to the cause.
    pub fn to_raw(&self, cause: &abi::Cause) -> abi::RoleEvent {
        abi::RoleEvent {
            size: size_of::<abi::RoleEvent>() as u32,
            role: self.role.to_raw(),
            group: abi::Str::of(&self.group),
            why: abi::Str::of(&self.why),
            deadline_ns: self.deadline_ns,
            flags: self.to_flags(),
            before: self.before.map_or(0, Role::to_raw),
            epoch: self.epoch,
            cause,
        }
    }

    /// Converts from the form of the C interface, whose texts and cause were read before.
    pub fn from_raw(raw: &abi::RoleEvent, group: String, why: String, cause: Cause) -> Self {
        let role = |number| Role::from_raw(number).unwrap_or_default();
        let mut event = Self {
            group,
            role: role(raw.role),
            why,
            deadline_ns: raw.deadline_ns,
            before: (raw.before != 0).then(|| role(raw.before)),
            epoch: raw.epoch,
            cause,
            ..Self::default()
        };
        event.set_flags(raw.flags);
        event
    }
}
