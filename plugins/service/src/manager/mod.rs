//! Service managers of this machine, used by commands without a shell.

pub mod bus;
mod commands;
mod openrc;
mod procd;
mod runit;
mod systemd;

use std::path::Path;

use crate::config::Settings;
use crate::error::ManagerError;
use crate::job::{Manager, Service, Status, Verb};

pub use systemd::Triggers;

/// Selects the service manager of this machine, if the file has units.
///
/// # Errors
/// There are units, but no known service manager.
pub fn choose(settings: &Settings) -> Result<Manager, ManagerError> {
    match settings.manager.or_else(detect) {
        Some(manager) => Ok(manager),
        None if settings.has_units() => Err(ManagerError::NoManager),
        None => Ok(Manager::Systemd),
    }
}

/// Finds the manager of this machine; None if there is no known one.
pub fn detect() -> Option<Manager> {
    detect_in(Path::new("/"))
}

/// Finds the manager below another root. A machine with systemd or OpenRC may also run runit, so that one comes last.
pub fn detect_in(root: &Path) -> Option<Manager> {
    if is_systemd(root) {
        Some(Manager::Systemd)
    } else if root.join("run/openrc").is_dir() {
        Some(Manager::OpenRc)
    } else if root.join("sbin/procd").exists() {
        Some(Manager::Procd)
    } else if root.join("run/runit").is_dir() || runit::is_running(root) {
        Some(Manager::Runit)
    } else {
        None
    }
}

/// True if systemd is the first process: sd_booted(3).
pub fn is_systemd(root: &Path) -> bool {
    root.join("run/systemd/system").is_dir()
}

/// Commands for a verb, to run one after the other. The last one's exit code decides; a failure of an earlier one is
/// ignored. None: this cannot be done (a service without `reload`).
pub fn commands(
    service: &Service,
    verb: Verb,
    triggers: &mut Triggers,
) -> Option<Vec<Vec<String>>> {
    match service {
        Service::Unit { manager, unit } => match manager {
            Manager::Systemd => Some(systemd::commands(unit, verb, triggers)),
            Manager::OpenRc => Some(openrc::commands(unit, verb)),
            Manager::Procd => Some(procd::commands(unit, verb)),
            Manager::Runit => Some(runit::commands(unit, verb)),
        },
        Service::Commands {
            start,
            stop,
            reload,
            ..
        } => commands::commands(start, stop, reload, verb),
    }
}

/// Command that stops all units of these services and that continues when this process has ended; None if there is
/// none.
pub fn stop_in_background(services: &[Service], triggers: &mut Triggers) -> Option<Vec<String>> {
    let units = services.iter().filter_map(|service| match service {
        Service::Unit {
            manager: Manager::Systemd,
            unit,
        } => Some(unit.as_str()),
        _ => None,
    });
    systemd::stop_in_background(units, triggers)
}

/// Query for the states of services: one command for all services of systemd, one for each service of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusQuery {
    pub argv: Vec<String>,
    pub services: Vec<Service>,
}

/// Queries, and the states of services that need none.
pub fn queries(
    root: &Path,
    services: &[Service],
    triggers: &Triggers,
) -> (Vec<StatusQuery>, Vec<(Service, Status)>) {
    let mut queries = Vec::new();
    let mut known = Vec::new();
    let mut units = Vec::new();
    for service in services {
        let asked = match service {
            Service::Unit { manager, unit } => match manager {
                Manager::Systemd => match systemd::name_fault(unit) {
                    Some(why) => Err(Status::Missing(why)),
                    None => {
                        units.push(service.clone());
                        continue;
                    }
                },
                Manager::OpenRc => Ok(openrc::query(unit)),
                Manager::Procd => procd::query(root, unit),
                Manager::Runit => Ok(runit::query(unit)),
            },
            Service::Commands { status, .. } => commands::query(status),
        };
        match asked {
            Ok(argv) => queries.push(StatusQuery {
                argv,
                services: vec![service.clone()],
            }),
            Err(status) => known.push((service.clone(), status)),
        }
    }
    if !units.is_empty() {
        queries.insert(0, systemd::query(units, triggers));
    }
    (queries, known)
}

/// Result of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryResult {
    /// State of each service in the query.
    Known(Vec<Status>),
    /// The answer named further units whose state also decides.
    AskMore(StatusQuery),
}

/// Parses an answer. `again`: it is a second query, after units may have been loaded or removed.
pub fn parse_answer(
    query: &StatusQuery,
    code: Option<i32>,
    output: &str,
    again: bool,
    triggers: &mut Triggers,
) -> QueryResult {
    let judged = query.services.iter().map(|service| match service {
        Service::Unit { manager, unit } => match manager {
            Manager::Systemd => None,
            Manager::OpenRc => Some(openrc::parse_answer(unit, code, output)),
            Manager::Procd => Some(procd::parse_answer(code, output)),
            Manager::Runit => Some(runit::parse_answer(output)),
        },
        Service::Commands { .. } => Some(commands::parse_answer(code, output)),
    });
    match judged.collect() {
        Some(statuses) => QueryResult::Known(statuses),
        None => systemd::parse_answer(query, code, output, again, triggers),
    }
}

/// Unit of systemd, by its own name, with the program that it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedUnit {
    pub unit: String,
    pub program: Option<String>,
}

/// Units in an answer whose changes systemd reports.
pub fn loaded_units(query: &StatusQuery, code: Option<i32>, output: &str) -> Vec<LoadedUnit> {
    let is_unit = |service: &Service| {
        let manager = Manager::Systemd;
        matches!(service, Service::Unit { manager: it, .. } if *it == manager)
    };
    if code == Some(0) && query.services.iter().any(is_unit) {
        systemd::loaded_units(output)
    } else {
        Vec::new()
    }
}

/// Maximum number of characters kept of a program's output.
const WORDS_MAX: usize = 200;

/// Last output of a program, usually the reason of its failure. Hints where to look are skipped, and of several errors
/// of nft the first one counts.
pub fn last_line(output: &str) -> String {
    let lines = || output.lines().map(str::trim);
    let says = |line: &&str| !line.is_empty() && !line.starts_with("See \"systemctl");
    let error = lines().find(|line| line.contains(": Error: "));
    let line = error.or_else(|| lines().rev().find(says)).unwrap_or("");
    let plain = line.chars().filter(|c| !c.is_control());
    plain.take(WORDS_MAX).collect()
}

/// Services that do not run, and that systemd could not start because their program does not exist.
pub fn with_missing_programs(
    root: &Path,
    query: &StatusQuery,
    output: &str,
    statuses: Vec<Status>,
) -> Vec<Status> {
    let all = query.services.iter().zip(statuses);
    let seen = all.map(|(service, status)| match service {
        Service::Unit {
            manager: Manager::Systemd,
            ..
        } => systemd::with_missing_programs(root, service, output, status),
        _ => status,
    });
    seen.collect()
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Reason for an unknown state: the program's output, or its exit code.
fn unknown_reason(code: Option<i32>, output: &str) -> String {
    let words = last_line(output);
    match code {
        _ if !words.is_empty() => words,
        Some(code) => format!("exit code {code}"),
        None => "it was killed".to_owned(),
    }
}
