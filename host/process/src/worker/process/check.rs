//! The check in a short-lived process: reads a plugin's descriptor, and checks a configuration, without any effect.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::poller::is_readable;
use spared_contract::{ConfigTable, Descriptor, Failure, FromPlugin, Surroundings, ToPlugin};
use spared_message::load::Load;

use super::Worker;
use crate::worker::callback_status;

/// Maximum time for the check.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A configuration to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Contents of the plugin's file.
    pub table: ConfigTable,
    /// Settings of the host that plugins get.
    pub surroundings: Surroundings,
}

/// Reads a plugin's descriptor, and checks a configuration if one is given, in a short-lived process without
/// capabilities. Takes up to [`CHECK_TIMEOUT`].
///
/// # Errors
/// The reason why the file is not a plugin, in a sentence, or that it crashed or hung.
pub fn check(
    exe: &Path,
    name: &str,
    plugin: BorrowedFd<'_>,
    uid_gid: Option<(u32, u32)>,
    memory: u64,
    configuration: Option<&Configuration>,
) -> Result<(Descriptor, Vec<Failure>), CheckError> {
    let load = Load {
        name: name.to_owned(),
        check_only: true,
        uid_gid,
        memory: Some(memory),
        ..Load::default()
    };
    let worker = Worker::spawn(exe, &load, plugin).map_err(CheckError::Kernel)?;
    let mut check = Check {
        worker,
        deadline: Instant::now() + CHECK_TIMEOUT,
    };
    let descriptor = loop {
        if let FromPlugin::Loaded(loaded) = check.next("loading")? {
            break loaded.map_err(CheckError::Refused)?;
        }
    };
    let Some(configuration) = configuration else {
        return Ok((descriptor, Vec::new()));
    };
    let configure = ToPlugin::Configure {
        token: 1,
        table: configuration.table.clone(),
        check: true,
        surroundings: configuration.surroundings.clone(),
    };
    let sent = check.worker.send(&configure, &[]);
    sent.map_err(|error| CheckError::Crashed(error.to_string()))?;
    loop {
        if let FromPlugin::Returned {
            status,
            mut failures,
            ..
        } = check.next("checking its configuration")?
        {
            let status = match callback_status::ended("configure", status) {
                Ok(status) => status,
                Err(invalid) => {
                    failures.push(Failure::of_whole(invalid.to_string()));
                    callback_status::INVALID
                }
            };
            if status < 0 && failures.is_empty() {
                let error = io::Error::from_raw_os_error(status.saturating_neg());
                failures.push(Failure::of_whole(format!("is refused: {error}")));
            }
            return Ok((descriptor, failures));
        }
    }
}

struct Check {
    worker: Worker,
    deadline: Instant,
}

impl Check {
    fn next(&mut self, doing: &str) -> Result<FromPlugin, CheckError> {
        loop {
            match self.worker.receive() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(_) => return Err(self.crashed(doing)),
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CheckError::Hung(format!(
                    "{doing} took longer than {} s",
                    CHECK_TIMEOUT.as_secs()
                )));
            }
            is_readable(&self.worker, left);
        }
    }

    fn crashed(&mut self, doing: &str) -> CheckError {
        is_readable(self.worker.pidfd(), Duration::from_millis(200));
        CheckError::Crashed(match self.worker.exit() {
            Some(status) => format!("{doing} ended the process ({status})"),
            None => format!("{doing} broke the connection"),
        })
    }
}

/// Reason why a plugin could not be checked, by whose fault it is.
#[derive(Debug)]
pub enum CheckError {
    /// The file is not a plugin for this host; the sentence says why.
    Refused(String),
    /// The plugin ended its process.
    Crashed(String),
    /// The plugin did not answer in time.
    Hung(String),
    /// No process could be started.
    Kernel(io::Error),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Crashed(why) | Self::Hung(why) => f.write_str(why),
            Self::Kernel(error) => write!(f, "cannot start a worker: {error}"),
        }
    }
}

impl std::error::Error for CheckError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}
