//! Messages between the host and the process that starts all others, which alone need be root.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::worker::Descriptor;

/// A request. Each is answered by an [`Answer`] of the same number, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub number: u64,
    pub what: Asked,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// The first request, and another after each reload: read the configuration. The host's error output travels with
    /// it, for processes that have none of their own.
    Configure {
        /// The host's. Another one refuses all that follows: the encoding carries no version.
        version: String,
    },
    Start(Start),
    Kill {
        pid: u32,
    },
    /// Reap a process that has ended.
    Reap {
        pid: u32,
    },
}

/// A process. What it may do is not for the host to say: root's configuration does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// A worker that reads the plugin's descriptor or checks a configuration, without any privilege.
    Check {
        plugin: String,
        /// Bytes that each of its processes may have.
        memory: u64,
    },
    /// A worker that runs an enabled plugin, with what that asks for and its file allows.
    Worker { plugin: String, asks: Asks },
    /// `spared link`.
    Link,
    /// `spared firewall`.
    Firewall,
}

/// What a plugin asks for in its descriptor. The worker refuses to run if it got more than its plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    pub flags: u32,
    pub capabilities: u64,
    pub calls: u32,
    pub paths: Vec<String>,
}

impl Asks {
    pub fn of(descriptor: &Descriptor) -> Self {
        Self {
            flags: descriptor.flags,
            capabilities: descriptor.capabilities,
            calls: descriptor.calls,
            paths: descriptor.paths.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub number: u64,
    pub what: Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answered {
    Configured {
        groups: Groups,
        /// Why the configuration of before stays in force.
        fault: Option<String>,
    },
    /// Its socket travels with the answer, and what reads its error output, if it has one of its own.
    Started {
        pid: u32,
    },
    NotStarted(NotStarted),
    /// The signal is sent, or nobody is there to get it.
    Killed,
    Reaped(Reaped),
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
