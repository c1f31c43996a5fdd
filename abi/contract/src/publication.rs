//! Role of a group, as its elector publishes it.

use serde::{Deserialize, Serialize};

use crate::record::record;
use crate::{Cause, Role};

record! {
    /// A role, as the elector publishes it.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Publication {
        /// The role.
        pub role: Role = 0,
        /// Grants all fence leases again, also those that lapsed.
        pub reopens: bool = 1,
        /// Why.
        pub cause: Cause = 2,
        /// Monotonic time of the call, which the worker sets: the host refuses a call that lay in the queue of a stopped
        /// process. An ACTIVE older than [`CALL_TIMEOUT_MS`](crate::CALL_TIMEOUT_MS) grants no fence lease.
        pub sent_ns: u64 = 3,
    }
}

impl Publication {
    /// Creates a publication of this role and cause that is not sent yet.
    pub fn new(role: Role, cause: Cause) -> Self {
        Self {
            role,
            reopens: false,
            cause,
            sent_ns: 0,
        }
    }
}
