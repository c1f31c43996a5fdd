//! Messages between the host and the process that starts all others. Only that process needs to be root.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use spared_contract::codec::Message;

use crate::load::Asks;

/// Request to the starter. Each gets an [`Answer`] with the same number, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub number: u64,
    pub what: Asked,
}

impl Message for Request {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// Reads the configuration: the first request, and another one after each reload.
    Configure {
        /// Version of the host. If it is not the starter's, all further requests are refused: the encoding carries no
        /// version.
        version: String,
        /// Digest of the files that are in force.
        digest: String,
    },
    /// Keeps the files in force: configured again, they are put back.
    KeepFiles {
        /// Digest of the files that are in force.
        digest: String,
        /// Seconds in which a start within this boot has the new files in force; 0: none.
        term_s: u64,
    },
    /// Keeps no files any longer.
    ForgetFiles,
    /// Starts a process. Its number is the number of the request.
    Start(Start),
    Kill(u64),
    /// Kills a process that the host cannot use, and reaps it without another request.
    KillAndReap(u64),
    /// Reaps a process that has ended.
    Reap(u64),
    /// Shows that the starter answers.
    Ping,
    /// Ends the term of the files that are kept: a start puts them back.
    EndTerm,
}

/// Process to start. Its rights follow from root's configuration, not from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Worker that reads the plugin's descriptor or checks a configuration, and does nothing else.
    Check {
        plugin: String,
        /// Memory limit of each process in bytes: a new configuration may need more than the present one allows.
        memory: u64,
    },
    /// Worker that runs an enabled plugin, with what the plugin asks for and its file allows.
    Worker { plugin: String, asks: Asks },
    /// `spared link`.
    Link,
    /// `spared firewall`.
    Firewall,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub number: u64,
    pub what: Answered,
}

impl Message for Answer {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    Configured {
        about: About,
        /// Reason why the previous configuration stays in force.
        fault: Option<String>,
    },
    /// The host has another version than the starter: whoever starts the host has to start it again.
    Outdated {
        own: String,
    },
    /// The process was started. Its socket comes with the answer and, if the host reads the error output, a descriptor
    /// for that.
    Started {
        pid: u32,
    },
    NotStarted(NotStarted),
    /// The signal was sent, or the process had ended.
    Killed,
    Reaped(Reaped),
    Pong,
    /// Files are kept, or no longer: the reason if that failed.
    Files {
        fault: Option<String>,
    },
}

/// Reason why a process was not started, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStarted {
    /// A file or the configuration is wrong. The sentence says what to do.
    Refused(String),
    /// Something is missing that may be there at the next attempt.
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reaped {
    /// The process has not ended yet.
    Running,
    Ended {
        /// Exit status, as wait(2) returns it.
        status: i32,
        /// Peak memory of the process or a child of it, in bytes.
        peak: u64,
    },
    /// The process belongs to an earlier starter, which has ended.
    Unknown,
}

/// Facts about the starter that the host needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Parent of the plugins' state folders, if they have any.
    pub state_dir: Option<PathBuf>,
    pub groups: Groups,
}

/// Controllers of the workers' control groups. The controller cpu is not among them: a kernel with
/// CONFIG_RT_GROUP_SCHED would take the real-time priority from the elector.
pub const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// Control groups of the workers, or the reason why there are none.
pub type Groups = Result<Delegated, String>;

/// Delegated control group, with a group below it for each worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    pub folder: PathBuf,
    /// Controllers that the kernel does not grant here.
    pub missing: Vec<String>,
}

impl Delegated {
    /// Folder of a worker's control group.
    pub fn of(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("worker-{plugin}"))
    }
}
