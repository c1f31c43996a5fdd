//! What the engine has done, and what it is told of it.

use std::net::IpAddr;
use std::path::PathBuf;

/// What starts and stops units here.
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

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Stopped,
    /// It does not run, or its last run failed, and what is named here (a socket, a timer, a path)
    /// will start it: as good as running where it is to run, and to be stopped where it is not.
    Armed(String),
    /// What it does ends by itself, so that it does not run says nothing: it is started once where it
    /// is to run, and right as it is otherwise.
    Ends,
    /// On its way, by whomever.
    Starting,
    Stopping,
    /// It does not run, and not because somebody stopped it; why, as its manager says.
    Failed(String),
    /// Its manager knows no such unit, or may not start it (masked); why.
    Missing(String),
    /// Nobody can tell; why.
    Unknown(String),
}
