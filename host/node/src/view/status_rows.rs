//! Makes a look at all groups: the plugins' status rows and the kernel's fences, each requested once for an answer.

use std::collections::BTreeMap;

use spared_contract::Row;
use spared_kernel::{FenceState, FenceStates};
use spared_requests::rows::{Details, split_rows};

use super::NodeView;

/// Rows of plugins, by plugin.
pub type Rows = BTreeMap<String, Vec<Row>>;

/// Rows of plugins, and the fence of each group.
#[derive(Debug, Default)]
pub struct StatusRows {
    /// Rows of electors, by group; their keys are without the group's name.
    groups: BTreeMap<String, Details>,
    /// All other rows, by plugin.
    pub rows: BTreeMap<String, Details>,
    fences: FenceStates,
}

impl StatusRows {
    /// Returns the elector's rows about a group.
    pub fn details(&self, group: &str) -> Option<&Details> {
        self.groups.get(group)
    }

    /// Returns the fence of a group in the kernel at the time of the look.
    pub fn fence(&self, group: &str) -> FenceState {
        self.fences.of(group)
    }
}

impl NodeView<'_> {
    pub fn status_rows(&self, rows: Rows) -> StatusRows {
        let mut status_rows = StatusRows {
            fences: self.network.kernel().fence_states(),
            ..StatusRows::default()
        };
        for (plugin, rows) in rows {
            let rest = split_rows(self.groups, &plugin, rows, &mut status_rows.groups);
            if !rest.is_empty() {
                status_rows.rows.insert(plugin, rest);
            }
        }
        status_rows
    }
}
