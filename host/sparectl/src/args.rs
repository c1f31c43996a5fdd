//! Converts the command line to a [`Command`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use jiff::ZonedDateTime;
use spared_message::control::{Force, PastQuery, Request};

use crate::config::Push;
use crate::line::{
    Config, Files, Forced, HistoryPart, Identity, Import, Init, Line, Maintenance, Pair, Unpair,
    Verb,
};
use crate::metrics::Metrics;
use crate::nagios::Thresholds;
use crate::upgrade::Upgrade;

/// Number of role changes and findings that `history` lists if no time is given.
const HISTORY_SHOWN: usize = 100;

/// A whole command line.
#[derive(Debug, PartialEq)]
pub struct Args {
    pub runtime_dir: PathBuf,
    pub json: bool,
    pub verbose: bool,
    /// Node to query, over the link; None for this node.
    pub node: Option<String>,
    pub command: Command,
}

#[derive(Debug, PartialEq)]
pub enum Command {
    /// Request that the daemon answers.
    Ask(Request),
    Watch,
    /// Options are passed on to `spared check`.
    Check {
        peer: bool,
        argv: Vec<OsString>,
    },
    Probe(Probe),
    Metrics(Metrics),
    Snmp,
    /// Options are passed on to `spared report`.
    Report {
        out: Option<PathBuf>,
        argv: Vec<OsString>,
    },
    Keygen {
        file: PathBuf,
        replace: bool,
    },
    ConfigPush(Push),
    Init(Box<Init>),
    Import(Box<Import>),
    Pair(Box<Pair>),
    Unpair(Unpair),
    Identity(Identity),
    Upgrade(Upgrade),
    Completions(Shell),
}

#[derive(Debug, PartialEq)]
pub enum Probe {
    /// Exit code of `status`.
    Ready,
    /// Success if the daemon answers.
    Live,
    /// Success if this node is active for the group, or for every group.
    Active { group: Option<String> },
    /// Headlines, findings and performance data for Nagios.
    Nagios(Thresholds),
}

/// # Errors
/// A fault in the arguments, or the requested help or version.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let line = Line::try_parse_from(argv)?;
    let command = command(line.verb, line.json)?;
    if line.json && !matches!(command, Command::Ask(_)) {
        return Err(refused("--json: only an answer of the daemon can be JSON"));
    }
    if line.node.is_some() && runs_here(&command) {
        return Err(refused(
            "--node: this command is about the machine on which it runs; run it on the other node",
        ));
    }
    Ok(Args {
        runtime_dir: line.runtime_dir,
        json: line.json,
        verbose: line.verbose,
        node: line.node,
        command,
    })
}

/// Script by which a shell completes verbs and options; in bash and fish also the running plugins and their words.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Line::command(), "sparectl", &mut script);
    let script = String::from_utf8_lossy(&script);
    let more = match shell {
        Shell::Bash => include_str!("completions/plugins.bash"),
        Shell::Fish => include_str!("completions/plugins.fish"),
        _ => "",
    };
    format!("{script}{more}")
}

fn command(verb: Verb, json: bool) -> Result<Command, clap::Error> {
    Ok(match verb {
        Verb::Status => Command::Ask(Request::Status),
        Verb::Watch => Command::Watch,
        Verb::Why { group } => Command::Ask(Request::Why { group }),
        Verb::History(history) => Command::Ask(Request::History(past(history, json))),
        Verb::Events { limit } => Command::Ask(Request::Events { limit }),
        Verb::Plugins => Command::Ask(Request::Plugins),
        Verb::Probe { live: true, .. } => Command::Probe(Probe::Live),
        Verb::Probe {
            active: true,
            group,
            ..
        } => Command::Probe(Probe::Active { group }),
        Verb::Probe {
            nagios: true,
            warning,
            critical,
            ..
        } => Command::Probe(Probe::Nagios(Thresholds { warning, critical })),
        Verb::Probe { .. } => Command::Probe(Probe::Ready),
        Verb::Metrics { openmetrics, out } => Command::Metrics(Metrics {
            is_open: openmetrics,
            out,
        }),
        Verb::Snmp => Command::Snmp,
        Verb::Check { peer, files } => Command::Check {
            peer,
            argv: file_words(files),
        },
        Verb::Report { out, files } => Command::Report {
            out,
            argv: file_words(files),
        },
        Verb::Reload { back: true, .. } => Command::Ask(Request::TakeBack),
        Verb::Reload {
            anyway,
            confirm,
            across_restarts,
            ..
        } => Command::Ask(reload(anyway, confirm, across_restarts)),
        Verb::Confirm => Command::Ask(Request::Confirm),
        Verb::Arm => Command::Ask(Request::Arm),
        Verb::Switch { to, group, consent } => Command::Ask(Request::Switch {
            group,
            to,
            anyway: consent.anyway,
        }),
        Verb::Force { to, group, consent } => Command::Ask(Request::Force {
            group,
            to: force(to),
            anyway: consent.anyway,
        }),
        Verb::Maintenance(which) => Command::Ask(maintenance(&which)),
        Verb::Freeze { time } => Command::Ask(Request::Freeze {
            for_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }),
        Verb::Config(Config::Push {
            dry_run,
            anyway,
            watch,
        }) => Command::ConfigPush(Push {
            dry_run,
            anyway,
            watch,
        }),
        Verb::Init(init) => Command::Init(init),
        Verb::Import(import) => Command::Import(import),
        Verb::Pair(pair) => Command::Pair(pair),
        Verb::Replace(mut pair) => {
            pair.replace = true;
            Command::Pair(pair)
        }
        Verb::Unpair(unpair) => Command::Unpair(unpair),
        Verb::Identity(identity) => Command::Identity(identity),
        Verb::Upgrade {
            dry_run,
            reboot,
            consent,
        } => Command::Upgrade(Upgrade {
            dry_run,
            reboot,
            anyway: consent.anyway,
        }),
        Verb::Keygen { file, replace } => Command::Keygen { file, replace },
        Verb::Completions { shell } => Command::Completions(shell),
        Verb::Plugin { words } | Verb::External(words) => Command::Ask(plugin(words)?),
    })
}

/// Returns true for commands that the other node cannot answer over the link.
fn runs_here(command: &Command) -> bool {
    match command {
        Command::Ask(_) | Command::Watch | Command::Probe(_) | Command::Metrics(_) => false,
        Command::Snmp
        | Command::Check { .. }
        | Command::Report { .. }
        | Command::Keygen { .. }
        | Command::ConfigPush(_)
        | Command::Init(_)
        | Command::Import(_)
        | Command::Pair(_)
        | Command::Unpair(_)
        | Command::Identity(_)
        | Command::Upgrade(_)
        | Command::Completions(_) => true,
    }
}

fn force(role: Forced) -> Force {
    match role {
        Forced::Active => Force::Active,
        Forced::Backup => Force::Backup,
        Forced::Reset => Force::Reset,
    }
}

fn reload(anyway: bool, confirm: Option<Duration>, across_restarts: bool) -> Request {
    match confirm {
        Some(within) => Request::ReloadToConfirm {
            anyway,
            within_s: within.as_secs(),
            across_restarts,
        },
        None => Request::Reload { anyway },
    }
}

fn maintenance(which: &Maintenance) -> Request {
    match which {
        Maintenance::On { time, consent } => Request::Maintenance {
            on: true,
            for_s: time.map(|time| time.as_secs()),
            anyway: consent.anyway,
        },
        Maintenance::Off => Request::Maintenance {
            on: false,
            for_s: None,
            anyway: false,
        },
    }
}

// Text is for people: without a time it ends where they no longer read. JSON is all that an answer holds.
fn past(part: HistoryPart, json: bool) -> PastQuery {
    let HistoryPart {
        since,
        group,
        findings,
    } = part;
    let limit = (!json && since.is_none()).then_some(HISTORY_SHOWN);
    PastQuery {
        since: since.map(|since| since.rfc3339(&ZonedDateTime::now())),
        group,
        roles_only: !json && !findings,
        limit,
        ..PastQuery::default()
    }
}

fn file_words(files: Files) -> Vec<OsString> {
    let mut words = Vec::new();
    for (option, path) in [
        ("--config", files.config),
        ("--plugin-dir", files.plugin_dir),
    ] {
        if let Some(path) = path {
            words.extend([option.into(), path.into_os_string()]);
        }
    }
    words
}

fn plugin(words: Vec<OsString>) -> Result<Request, clap::Error> {
    let words: Result<Vec<String>, OsString> =
        words.into_iter().map(OsString::into_string).collect();
    let mut words = words
        .map_err(|word| refused(&format!("{}: not UTF-8", word.to_string_lossy())))?
        .into_iter();
    Ok(Request::Plugin {
        name: words.next().unwrap_or_default(),
        argv: words.collect(),
    })
}

fn refused(why: &str) -> clap::Error {
    Line::command().error(ErrorKind::ValueValidation, why)
}

#[cfg(test)]
mod tests;
