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

/// Something that runs or does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Unit {
        manager: Manager,
        unit: String,
    },
    /// Started, stopped and asked by the administrator's own commands.
    Commands {
        name: String,
        start: Vec<String>,
        stop: Vec<String>,
        /// Exit code 0: it runs; 3: it does not (LSB). Empty: nobody knows.
        status: Vec<String>,
        /// Empty: it cannot.
        reload: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Stop,
    Reload,
    /// A stop took too long.
    Kill,
}

/// A route that this node has in one role, for its own traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// None: the default route of the gateway's family.
    pub destination: Option<(IpAddr, u8)>,
    pub gateway: Option<IpAddr>,
    pub interface: Option<String>,
    pub metric: Option<u32>,
    pub table: Option<u32>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    Service {
        service: Service,
        verb: Verb,
    },
    /// A hook or a command of the administrator, with these variables in its environment.
    Run {
        argv: Vec<String>,
        environment: Vec<(String, String)>,
    },
    Link {
        interface: String,
        up: bool,
    },
    /// Down for that long, so that a switch forgets where addresses were, then up again.
    Bounce {
        interface: String,
        down_ms: u64,
    },
    /// A setting below /proc/sys.
    Setting {
        key: String,
        value: String,
    },
    /// `nft -f FILE`.
    Rules {
        file: PathBuf,
    },
    /// `nft -c -f FILE`: whether it would load.
    CheckRules {
        file: PathBuf,
    },
    Route {
        route: Route,
        present: bool,
    },
    /// The file `to` gets the content of `from`, at one go.
    Copy {
        from: PathBuf,
        to: PathBuf,
    },
}

/// State of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// The same; since the last answer it has ended, and its manager has started it again by itself.
    Restarted,
    Stopped,
    /// It does not run, or its last run failed, but the named unit (a socket, a timer, a path) will
    /// start it. That counts as running if it should run; otherwise the unit has to be stopped.
    Armed(String),
    /// Its work ends by itself, so not running is no fault: it is started once if it should run,
    /// and is in the right state otherwise.
    Ends,
    /// On its way, by whomever.
    Starting,
    Stopping,
    /// It failed; the reason, from its manager.
    Failed(String),
    /// Its manager does not know the unit, or may not start it (masked); the reason.
    Missing(String),
    /// Nobody can tell; why.
    Unknown(String),
}
