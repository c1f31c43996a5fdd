//! What the supervisor has to say.

use spared_worker::message::{Call, Row, Scope};

use crate::config::Fault;
use crate::events::Notice;

#[derive(Debug)]
pub enum Report {
    /// A host function that needs the host; its worker waits.
    Call {
        plugin: String,
        number: u64,
        call: Call,
    },
    /// It has started: replay roles, interfaces, directives.
    Up {
        plugin: String,
    },
    /// Its worker is gone.
    Down {
        plugin: String,
        why: String,
    },
    /// It died too often; said again when it was tried again and did not hold.
    GivenUp {
        plugin: String,
        why: String,
    },
    /// It was given up, and has run for long enough since.
    Recovered {
        plugin: String,
    },
    /// It is no longer configured.
    Removed {
        plugin: String,
    },
    Settled {
        plugin: String,
        group: String,
        epoch: u64,
    },
    /// A negative status: it could not send all.
    Drained {
        plugin: String,
        group: String,
        epoch: u64,
        status: i32,
    },
    /// It took the role, or says why it could not.
    RoleDone {
        plugin: String,
        group: String,
        epoch: u64,
        result: Result<(), String>,
    },
    Answered {
        id: u64,
        result: Result<Answered, Unanswered>,
    },
    Stopped {
        plugin: String,
    },
    Reconfigured {
        plugin: String,
        result: Result<Returned, Vec<String>>,
    },
    /// A check of a new configuration has ended.
    Validated {
        plugin: String,
        faults: Vec<Fault>,
    },
    /// What `spared.check/1` says.
    Check {
        plugin: String,
        check: String,
        weight: u32,
        state: u32,
        why: String,
    },
    ForgetCheck {
        plugin: String,
        check: String,
    },
    /// What `spared.peer/1` says of its synchrony.
    InSync {
        plugin: String,
        yes: bool,
        why: String,
    },
    /// Keys of its file that are not of the pair.
    Scopes {
        plugin: String,
        scopes: Vec<(String, Scope)>,
    },
    /// It cannot run as it is: not a plugin, or a wrong configuration.
    Refused {
        plugin: String,
        why: String,
    },
    /// An event in a plugin's own words.
    Line {
        plugin: String,
        text: String,
    },
    Tell(Notice),
}

/// What `configure` of a running plugin said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The difference is applied.
    Live,
    /// Valid, but it must be restarted for it.
    Restart,
}

/// What a query was answered.
#[derive(Debug, Default)]
pub struct Answered {
    pub rows: Vec<Row>,
    /// Somebody should look at them.
    pub attention: bool,
    /// The answer was too long for some of them.
    pub missing: bool,
}

/// Why a query has no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// The plugin does not know the words.
    pub unknown_words: bool,
    pub why: String,
}
