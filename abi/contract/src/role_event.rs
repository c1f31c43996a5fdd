//! Role of a group, as its followers get it.

use serde::{Deserialize, Serialize};

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
