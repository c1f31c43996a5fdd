//! The plugin's file as the engine uses it: one [`Item`] for each thing that follows the role.
//!
//! [`read`] asks for every key; *spared-service*(5) is the manual of all of them.

mod kinds;
mod read;
mod service;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use spared_sdk::Role;

use crate::job::{Manager, Route};

/// Every table of the file.
#[cfg(test)]
pub fn tables() -> Vec<&'static str> {
    let tables = kinds::READERS.iter();
    tables.map(|(table, _)| *table).collect()
}

pub(crate) use read::bare;
pub use read::read;

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// This node, as hooks are told it.
    pub node: String,
    /// None: what this machine has.
    pub manager: Option<Manager>,
    pub poll_interval_ns: u64,
    /// The folder of active.d, backup.d and fault.d.
    pub hooks: PathBuf,
    pub hook_timeout_ns: u64,
    pub notify: Notify,
    /// In the order in which they are entered.
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
            notify: Notify::Spared,
            items: Vec::new(),
        }
    }
}

impl Settings {
    /// Every route of the file, whatever the role.
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

/// The arguments of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// GROUP ROLE PREVIOUS.
    Spared,
    /// "GROUP" NAME STATE PRIORITY.
    Keepalived,
}

/// One thing that follows the role.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Unique in the file: a unit, or "interface.wan0".
    pub name: String,
    /// None: whichever this node has of all its groups, active before all others.
    pub group: Option<String>,
    /// Time limit of one job.
    pub timeout_ns: u64,
    /// The weight of its check, where its failure is one.
    pub needed: Option<u32>,
    /// Goes on in maintenance.
    pub keep: bool,
    /// Command that tells whether it would start; empty: none.
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
        /// Whether it is up; None: as it is.
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

/// A service to start and stop.
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

/// One value for each role.
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
