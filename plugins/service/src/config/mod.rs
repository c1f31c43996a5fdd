//! The plugin's file in the form that the engine uses: one [`Item`] for each object that follows the role.
//!
//! [`read`] asks for every key; *spared-service*(5) is the manual of the keys.

mod kinds;
mod order;
mod read;
mod service;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use spared_sdk::Role;

use crate::job::{Manager, Route};

/// Names of all tables of the file.
#[cfg(test)]
pub fn tables() -> Vec<&'static str> {
    let tables = order::READERS.iter();
    tables.map(|(table, _)| *table).collect()
}

pub use read::read;
pub(crate) use read::without_service_suffix;

/// Contents of the whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of this node, for hooks.
    pub node: String,
    /// Service manager; None: the one of this machine.
    pub manager: Option<Manager>,
    pub poll_interval_ns: u64,
    /// Folder that contains active.d, backup.d and fault.d.
    pub hooks: PathBuf,
    pub hook_timeout_ns: u64,
    /// Name of the user who runs hooks; None: root.
    pub hook_user: Option<String>,
    pub notify: Notify,
    /// Items in the order in which a node becomes active.
    pub items: Vec<Item>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: String::new(),
            manager: None,
            poll_interval_ns: read::POLL_NS,
            hooks: PathBuf::from(read::HOOKS),
            hook_timeout_ns: read::TIMEOUT_NS,
            hook_user: None,
            notify: Notify::Spared,
            items: Vec::new(),
        }
    }
}

impl Settings {
    /// All routes of the file, for any role.
    pub fn routes(&self) -> Vec<Route> {
        let routes = self.items.iter().filter_map(|item| match &item.kind {
            Kind::Route { route, .. } => Some(route.clone()),
            _ => None,
        });
        routes.collect()
    }

    pub fn has_units(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(
                item.kind,
                Kind::Service {
                    target: Target::Unit(_),
                    ..
                }
            )
        })
    }
}

/// Arguments of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Arguments GROUP ROLE PREVIOUS.
    Spared,
    /// Arguments "GROUP" NAME STATE PRIORITY.
    Keepalived,
}

/// Object that follows the role.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Name, unique in the file: a unit, or "interface.wan0".
    pub name: String,
    /// Group whose role counts; None: the node is active for the item if it is active in any group.
    pub group: Option<String>,
    /// Time limit of one job, in ns.
    pub timeout_ns: u64,
    /// Weight of the item's check; None: its failure does not count.
    pub needed: Option<u32>,
    /// True if the item keeps its state in maintenance.
    pub keep: bool,
    /// Command that tests if the service would start; empty: none.
    pub test: Vec<String>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Service {
        target: Target,
        wishes: ByRole<Wish>,
    },
    Interface {
        interface: String,
        /// Wanted state, true for up; None: it stays as it is.
        up: ByRole<Option<bool>>,
        bounce_ms: Option<u64>,
    },
    Setting {
        key: String,
        values: ByRole<Option<String>>,
    },
    Rules {
        files: ByRole<Option<PathBuf>>,
    },
    Route {
        route: Route,
        role: Role,
    },
    File {
        path: PathBuf,
        sources: ByRole<Option<PathBuf>>,
    },
}

/// Service to start and stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Unit(String),
    Commands {
        start: Vec<String>,
        stop: Vec<String>,
        status: Vec<String>,
        reload: Vec<String>,
    },
}

/// Action for a service in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Start,
    Stop,
    Leave,
    Reload,
    Run(Vec<String>),
}

/// A value for each role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByRole<T> {
    pub active: T,
    pub backup: T,
    pub fault: T,
}

impl<T> ByRole<T> {
    pub fn of(&self, role: Role) -> &T {
        match role {
            Role::Active => &self.active,
            Role::Fault => &self.fault,
            _ => &self.backup,
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.active, &self.backup, &self.fault].into_iter()
    }
}
