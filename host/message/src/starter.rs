//! Messages between the host and the process that starts all others, which alone need be root.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use spared_contract::codec::Message;

use crate::load::Asks;

/// A request. Each is answered by an [`Answer`] of the same number, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub number: u64,
    pub what: Asked,
}

impl Message for Request {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// The first request, and another after each reload: read the configuration.
    Configure {
        /// The host's. Another one refuses all that follows: the encoding carries no version.
        version: String,
        /// Of the files that are in force.
        digest: String,
    },
    /// The number of the request is the number of the process.
    Start(Start),
    Kill {
        process: u64,
    },
    /// Kill a process that the host cannot take up, and reap it without another word.
    Abandon {
        process: u64,
    },
    /// Reap a process that has ended.
    Reap {
        process: u64,
    },
    /// Show that it can be asked.
    Look,
}

/// A process. What it may do is not for the host to say: root's configuration does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// A worker that reads the plugin's descriptor or checks a configuration, and does nothing else.
    Check {
        plugin: String,
        /// Bytes that each of its processes may have: a new configuration may need more than the present one allows.
        memory: u64,
    },
    /// A worker that runs an enabled plugin, with what that asks for and its file allows.
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
        /// Why the configuration of before stays in force.
        fault: Option<String>,
    },
    /// The host is of another version: whoever starts it has to start it again.
    Outdated {
        own: String,
    },
    /// Its socket travels with the answer, and what reads its error output, if the host does.
    Started {
        pid: u32,
    },
    NotStarted(NotStarted),
    /// The signal is sent, or nobody is there to get it.
    Killed,
    Reaped(Reaped),
    Here,
}

/// Why a process was not started, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStarted {
    /// A file or the configuration is not as it must be: what to do is in the sentence.
    Refused(String),
    /// Something is missing that may be there at the next try.
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reaped {
    /// It has not ended yet.
    Running,
    Ended {
        /// As wait(2) gives it.
        status: i32,
        /// Most memory that it or a child of its had at once, in bytes.
        peak: u64,
    },
    /// Not a process that this starter has: an earlier one had it, and ended.
    Unknown,
}

/// What the host has to know of its starter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Parent of the plugins' state folders, if they have any.
    pub state_dir: Option<PathBuf>,
    pub groups: Groups,
}

/// Controllers of the workers' control groups. Not cpu: a kernel with CONFIG_RT_GROUP_SCHED would take the real-time
/// priority from the elector.
pub const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// Control groups of the workers, or why there are none.
pub type Groups = Result<Delegated, String>;

/// A delegated control group, with one below it for each worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    pub folder: PathBuf,
    /// Controllers that the kernel does not grant here.
    pub missing: Vec<String>,
}

impl Delegated {
    /// Folder of a worker's group.
    pub fn of(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("worker-{plugin}"))
    }
}
