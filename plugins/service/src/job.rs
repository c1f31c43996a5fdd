//! Jobs of the engine, and their results.

use std::net::IpAddr;
use std::path::PathBuf;

/// Service manager of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    Systemd,
    OpenRc,
    Procd,
    Runit,
}

/// Object that runs or does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Unit {
        manager: Manager,
        unit: String,
    },
    /// Service that the administrator's own commands start, stop and query.
    Commands {
        name: String,
        start: Vec<String>,
        stop: Vec<String>,
        /// Query of the state. Exit code 0: running; 3: not running (LSB). Empty: the state is unknown.
        status: Vec<String>,
        /// Command for a reload; empty: not possible.
        reload: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Stop,
    Reload,
    /// Kill after a stop that took too long.
    Kill,
}

/// Route of this node in one role, for its own traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination and prefix; None: the default route of the gateway's family.
    pub destination: Option<(IpAddr, u8)>,
    pub gateway: Option<IpAddr>,
    pub interface: Option<String>,
    pub metric: Option<u32>,
    pub table: Option<u32>,
}

/// Work for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    Service {
        service: Service,
        verb: Verb,
    },
    /// Runs a hook or a command of the administrator, with these variables in its environment.
    Run {
        argv: Vec<String>,
        environment: Vec<(String, String)>,
        /// Name of the user who runs it; None: root.
        user: Option<String>,
    },
    Link {
        interface: String,
        up: bool,
    },
    /// Sets an interface down for `down_ms`, so that a switch forgets where addresses were, then up again.
    Bounce {
        interface: String,
        down_ms: u64,
    },
    /// Writes a setting below /proc/sys.
    Setting {
        key: String,
        value: String,
    },
    /// Runs `nft -f FILE`.
    Rules {
        file: PathBuf,
    },
    /// Runs `nft -c -f FILE`, to test if it would load.
    CheckRules {
        file: PathBuf,
    },
    Route {
        route: Route,
        present: bool,
    },
    /// Replaces the content of the file `to` atomically by that of `from`.
    Copy {
        from: PathBuf,
        to: PathBuf,
    },
}

/// State of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// The service runs; since the last answer it has ended, and its manager has restarted it.
    Restarted,
    Stopped,
    /// The service does not run, or its last run failed, but the named unit (a socket, a timer, a path) will start it.
    /// That counts as running if it should run; otherwise the unit has to be stopped.
    AwaitsTrigger(String),
    /// The service ends by itself, so that not running is not a fault. If it should run it is started once, and
    /// otherwise it is in the right state.
    EndsByItself,
    /// The service is being started, by spared or another program.
    Starting,
    Stopping,
    /// The service failed; the reason, from its manager.
    Failed(String),
    /// The manager does not know the unit, or may not start it (masked); the reason.
    Missing(String),
    /// The state cannot be found out; the reason.
    Unknown(String),
}
