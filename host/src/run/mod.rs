//! `spared run`: opens everything, runs one loop, closes everything in reverse order.

mod clients;
mod dispatch;
mod r#loop;
mod machine;
mod orders;
mod perform;
mod process;
mod readers;
mod relay;
mod reload;
mod replaced_files;
mod serve;
mod stop;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use spared_config::{Host, Options, Setup, Unread, exit, unconfirmed};
use spared_kernel::Kernel;
use spared_process::signals::Signals;
use spared_process::starter::Starter;
use spared_requests::server::{Claim, Server};
use spared_supervisor::starter::{Files, StarterAddress, StarterClient};

use self::r#loop::Loop;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The reason why the host cannot start; later only a failure of epoll.
pub fn run(options: &Options) -> Result<(), Failure> {
    spared_journal::start();
    let signals = Signals::catch().map_err(Failure::System)?;
    let (setup, unconfirmed) = read(options)?;
    log::set_max_level(setup.host.log_level);
    let _claim = Claim::take(&options.runtime_dir).map_err(Failure::Unavailable)?;
    let control = Server::open(&options.runtime_dir).map_err(Failure::Unavailable)?;
    lock_down(&setup.host);
    let opened = if setup.host.fenced {
        Kernel::open()
    } else {
        Kernel::open_without_fence()
    };
    let mut kernel = opened.map_err(|error| Failure::Unavailable(error.to_string()))?;
    if setup.host.realtime {
        kernel.raise_carrier(spared_process::worker::real_time_for_carrier);
    }
    let leftovers = kernel
        .remove_leftovers()
        .map_err(|error| Failure::Unavailable(error.to_string()))?;
    let starter = find_starter(options, &setup.digest).map_err(Failure::Unavailable)?;
    // Not earlier: a starter of its own, and whatever that starts, keeps the old limit.
    spared_process::worker::lift_descriptor_limit_for_host();
    let mut host = Loop::new(options.clone(), setup, signals, control, kernel, starter)?;
    match unconfirmed {
        Unconfirmed::TakenBack => host.note_taken_back(),
        Unconfirmed::Waits(left) => host.note_waiting(left),
        Unconfirmed::No => {}
    }
    host.begin(leftovers);
    let result = host.turn_until_stopped();
    host.close();
    spared_journal::flush();
    result.map_err(Failure::System)
}

/// How the configuration of a start relates to a reload that nobody has confirmed.
enum Unconfirmed {
    No,
    /// It waits so long for its confirmation, as it did before the restart.
    Waits(Duration),
    /// The configuration is that from before the reload, which the starter puts back.
    TakenBack,
}

// Reads the configuration: the files, or those from before a reload that nobody has confirmed.
fn read(options: &Options) -> Result<(Setup, Unconfirmed), Failure> {
    let files = options.read();
    match unconfirmed::read(options) {
        Some(Ok(kept)) => {
            // files that are back already wait for nobody
            let is_new = files.as_ref().is_ok_and(|it| it.digest != kept.digest);
            match (files, unconfirmed::left(options).filter(|_| is_new)) {
                (Ok(files), Some(left)) => return Ok((files, Unconfirmed::Waits(left))),
                _ => return Ok((kept, Unconfirmed::TakenBack)),
            }
        }
        Some(Err(faults)) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let path = unconfirmed::path(options);
            log::error!("{}: ignored: {}", path.display(), faults.join("; "));
        }
        None => {}
    }
    Ok((files.map_err(Failure::Config)?, Unconfirmed::No))
}

fn find_starter(options: &Options, digest: &str) -> Result<Starter, String> {
    let address = match &options.starter {
        Some(socket) => StarterAddress::At(socket.clone()),
        None => StarterAddress::Own(Files {
            config: options.config(),
            plugin_dir: options.plugin_dir.clone(),
            state_dir: std::env::var_os("STATE_DIRECTORY").map(PathBuf::from),
        }),
    };
    Ok(Rc::new(RefCell::new(StarterClient::new(address, digest)?)))
}

// Locks memory and sets a real-time priority, because the host grants fence leases and must run in time. Its priority
// is below the elector's. Its children start without a real-time priority.
fn lock_down(host: &Host) {
    if !host.realtime {
        return;
    }
    if let Err(error) = spared_process::worker::real_time_for_host() {
        log::warn!("no real-time priority here ({error}): failovers may be late on a busy machine");
    }
    if let Err(why) = spared_process::worker::lock_memory_for_host() {
        log::warn!("memory is not fully locked ({why}): failovers may be late if the system swaps");
    }
}

/// Reason why `spared run` ended with an error.
#[derive(Debug)]
pub enum Failure {
    Config(Unread),
    /// Another host runs here, or the kernel refuses something that is needed.
    Unavailable(String),
    System(io::Error),
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(why) => why.code(),
            Self::Unavailable(_) => exit::UNAVAILABLE,
            Self::System(_) => exit::OS_ERROR,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => write!(f, "{why}"),
            Self::Unavailable(why) => f.write_str(why),
            Self::System(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}
