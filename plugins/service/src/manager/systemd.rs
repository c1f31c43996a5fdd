//! systemd, used by systemctl.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{LoadedUnit, QueryResult, StatusQuery, argv, unknown_reason};
use crate::job::{Service, Status, Verb};

const PROPERTIES: &str = "--property=Id,Names,LoadState,LoadError,ActiveState,SubState,Result,Type,\
     RemainAfterExit,UnitFileState,TriggeredBy,ExecMainStatus,NRestarts,\
     ExecStart,RootDirectory,RootImage";
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// State learnt from answers: units that would start stopped services, needed to keep them stopped, and the number of
/// times that systemd has restarted each service.
#[derive(Debug, Default)]
pub struct Triggers {
    by_unit: BTreeMap<String, Vec<Trigger>>,
    /// Triggers that ran without being enabled when they were stopped here, and so are started again here. True after that
    /// start, until an answer shows that they run.
    stopped: BTreeMap<String, BTreeMap<String, bool>>,
    restarts: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
struct Trigger {
    name: String,
    active: bool,
    enabled: bool,
}

impl Triggers {
    /// True if systemd has restarted a running unit since the last answer. A start by others begins at 0.
    fn is_restarted(&mut self, unit: &str, restarts: u64) -> bool {
        let before = self.restarts.insert(unit.to_owned(), restarts);
        before.is_some_and(|before| before < restarts)
    }

    fn names(&self, unit: &str) -> impl Iterator<Item = &str> {
        let known = self.by_unit.get(unit).into_iter().flatten();
        known.map(|trigger| trigger.name.as_str())
    }

    fn stop(&mut self, unit: &str) -> Vec<String> {
        let known = self.by_unit.get(unit).cloned().unwrap_or_default();
        let stopped = self.stopped.entry(unit.to_owned()).or_default();
        // answers to come may be older than this stop
        stopped.values_mut().for_each(|started| *started = false);
        // whether an enabled one is started again is up to the administrator, who may disable it meanwhile
        let others = known.iter().filter(|it| it.active && !it.enabled);
        stopped.extend(others.map(|it| (it.name.clone(), false)));
        known.into_iter().map(|trigger| trigger.name).collect()
    }

    fn start(&mut self, unit: &str) -> BTreeSet<String> {
        let known = self.by_unit.get(unit).into_iter().flatten();
        let enabled = known.filter(|trigger| trigger.enabled);
        let mut names: BTreeSet<String> = enabled.map(|trigger| trigger.name.clone()).collect();
        for (name, started) in self.stopped.get_mut(unit).into_iter().flatten() {
            *started = true;
            names.insert(name.clone());
        }
        names
    }

    /// Takes the triggers of a unit from an answer. One that runs since it was started here is as before the stop.
    fn update(&mut self, unit: String, known: Vec<Trigger>) {
        let runs = |name: &str| known.iter().any(|it| it.active && it.name == name);
        if let Some(stopped) = self.stopped.get_mut(&unit) {
            stopped.retain(|name, started| !(*started && runs(name)));
        }
        self.by_unit.insert(unit, known);
    }
}

/// Reason why systemd would refuse a unit of that name.
pub(super) fn name_fault(unit: &str) -> Option<String> {
    let name = full_name(unit);
    let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if !name.chars().all(plain) || name.len() > 255 {
        return Some("is not a unit name".to_owned());
    }
    let (stem, _) = name.rsplit_once('.')?;
    if stem.is_empty() {
        return Some("is not a unit name".to_owned());
    }
    stem.ends_with('@')
        .then(|| format!("is a template: an instance has a name, as {stem}wan0"))
}

/// Name with its kind: systemctl takes a name without a kind for a service.
fn full_name(unit: &str) -> String {
    let kind = unit.rsplit_once('.').map(|(_, kind)| kind);
    if kind.is_some_and(|kind| KINDS.contains(&kind)) {
        unit.to_owned()
    } else {
        format!("{unit}.service")
    }
}

fn systemctl(words: &[&str], units: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut command = argv(&["systemctl", "--no-ask-password"]);
    command.extend(argv(words));
    command.push("--".to_owned());
    command.extend(units);
    command
}

pub(super) fn commands(unit: &str, verb: Verb, triggers: &mut Triggers) -> Vec<Vec<String>> {
    let name = full_name(unit);
    let one = || [name.clone()];
    match verb {
        Verb::Start => {
            let before = triggers.start(&name);
            let all = before.iter().cloned().chain(one());
            // systemd takes five starts in ten seconds for a fault; here they are a flapping line
            let mut commands = vec![systemctl(&["reset-failed"], all)];
            if !before.is_empty() {
                // a socket refuses to listen for a service that runs, so it comes first
                commands.push(systemctl(&["--job-mode=replace", "start"], before));
            }
            commands.push(systemctl(&["--job-mode=replace", "start"], one()));
            commands
        }
        Verb::Stop => {
            let before = triggers.stop(&name);
            let all = before.into_iter().chain(one());
            vec![systemctl(&["--job-mode=replace", "stop"], all)]
        }
        Verb::Reload => vec![systemctl(&["--job-mode=replace", "reload"], one())],
        // a killed unit may be restarted by its own Restart=
        Verb::Kill => vec![
            systemctl(&["kill", "--signal=KILL"], one()),
            systemctl(&["--job-mode=replace", "stop"], one()),
        ],
    }
}

pub(super) fn stop_in_background<'u>(
    units: impl Iterator<Item = &'u str>,
    triggers: &mut Triggers,
) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for name in units.map(full_name) {
        all.extend(triggers.stop(&name));
        all.push(name);
    }
    let words = ["--no-block", "--job-mode=replace", "stop"];
    (!all.is_empty()).then(|| systemctl(&words, all))
}

/// Query for units, and for the units that would start them.
pub(super) fn query(services: Vec<Service>, triggers: &Triggers) -> StatusQuery {
    let mut units: Vec<String> = services.iter().filter_map(name_of).collect();
    let starters: Vec<String> = units
        .iter()
        .flat_map(|unit| triggers.names(unit).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    units.extend(starters);
    StatusQuery {
        argv: systemctl(&["show", PROPERTIES], units),
        services,
    }
}

fn name_of(service: &Service) -> Option<String> {
    match service {
        Service::Unit { unit, .. } => Some(full_name(unit)),
        Service::Commands { .. } => None,
    }
}

/// State `Missing` if the program of a unit does not exist: systemd reports it only at a start.
pub(super) fn with_missing_programs(
    root: &Path,
    service: &Service,
    output: &str,
    status: Status,
) -> Status {
    if !matches!(
        status,
        Status::Stopped | Status::Failed(_) | Status::EndsByItself
    ) {
        return status;
    }
    let name = name_of(service).unwrap_or_default();
    let blocks = output.split("\n\n");
    let mut starts = blocks.filter(|block| words(&properties(block), "Names").any(|it| it == name));
    let Some(program) = starts.find_map(program) else {
        return status;
    };
    match root.join(program.trim_start_matches('/')).try_exists() {
        Ok(false) => Status::Missing(format!("its program {program} is not there: install it")),
        _ => status,
    }
}

/// All units of an answer.
pub(super) fn loaded_units(output: &str) -> Vec<LoadedUnit> {
    let blocks = output.split("\n\n");
    let units = blocks.filter_map(|block| {
        Some(LoadedUnit {
            unit: (*properties(block).get("Id")?).to_owned(),
            program: program(block).map(str::to_owned),
        })
    });
    units.collect()
}

/// Path of a unit's program in this machine's own tree; None if the program may fail.
fn program(block: &str) -> Option<&str> {
    let properties = properties(block);
    let is_elsewhere = |key: &str| properties.get(key).is_some_and(|it| !it.is_empty());
    if is_elsewhere("RootDirectory") || is_elsewhere("RootImage") {
        return None;
    }
    // path of its last command: { path=/usr/sbin/squid ; argv[]=... ; ignore_errors=no ; ... }
    let start = *properties.get("ExecStart")?;
    let (_, rest) = start.split_once("path=")?;
    let (path, rest) = rest.split_once(" ; ")?;
    let may_fail = rest.contains("ignore_errors=yes");
    (path.starts_with('/') && !may_fail).then_some(path)
}

type Properties<'o> = BTreeMap<&'o str, &'o str>;

pub(super) fn parse_answer(
    query: &StatusQuery,
    code: Option<i32>,
    output: &str,
    again: bool,
    triggers: &mut Triggers,
) -> QueryResult {
    let blocks: Vec<Properties<'_>> = output
        .split("\n\n")
        .map(properties)
        .filter(|block| block.contains_key("Id"))
        .collect();
    if code != Some(0) {
        let why = unknown_reason(code, output);
        let unknown = query.services.iter();
        return QueryResult::Known(unknown.map(|_| Status::Unknown(why.clone())).collect());
    }
    let found = |name: &str| -> Option<&Properties<'_>> {
        let has = |block: &&Properties<'_>| words(block, "Names").any(|word| word == name);
        blocks.iter().find(has)
    };
    for service in &query.services {
        let Some(name) = name_of(service) else {
            continue;
        };
        let starters = found(&name).into_iter();
        let starters = starters.flat_map(|block| words(block, "TriggeredBy"));
        let starters = starters.map(|starter| trigger(starter, found(starter)));
        triggers.update(name, starters.collect());
    }
    let next = self::query(query.services.clone(), triggers);
    let unseen = next.argv.iter().any(|word| !query.argv.contains(word));
    if unseen && !again {
        return QueryResult::AskMore(next);
    }
    let mut status = |service: &Service| {
        let name = name_of(service).unwrap_or_default();
        let Some(block) = found(&name) else {
            return Status::Unknown("systemd says nothing about it".to_owned());
        };
        let active_triggers = triggers.by_unit.get(&name).into_iter().flatten();
        let mut active_triggers = active_triggers.filter(|trigger| trigger.active);
        let status = status(
            block,
            active_triggers.next().map(|trigger| trigger.name.as_str()),
        );
        let restarts = block.get("NRestarts").and_then(|it| it.parse().ok());
        match (&status, restarts) {
            (Status::Running, Some(restarts)) if triggers.is_restarted(&name, restarts) => {
                Status::Restarted
            }
            _ => status,
        }
    };
    QueryResult::Known(query.services.iter().map(&mut status).collect())
}

fn properties(block: &str) -> Properties<'_> {
    block
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}

fn words<'b>(block: &Properties<'b>, key: &str) -> impl Iterator<Item = &'b str> + use<'b> {
    block.get(key).copied().unwrap_or("").split_whitespace()
}

fn trigger(name: &str, block: Option<&Properties<'_>>) -> Trigger {
    let value = |key: &str| block.and_then(|block| block.get(key)).copied();
    let state = value("ActiveState").unwrap_or("");
    Trigger {
        name: name.to_owned(),
        active: matches!(state, "active" | "activating" | "reloading"),
        enabled: matches!(
            value("UnitFileState").unwrap_or(""),
            "enabled" | "enabled-runtime"
        ),
    }
}

fn status(block: &Properties<'_>, active_trigger: Option<&str>) -> Status {
    let value = |key: &str| block.get(key).copied().unwrap_or("");
    // a unit may run on although its file was removed or masked
    match value("ActiveState") {
        "active" | "reloading" | "refreshing" => return Status::Running,
        // it works while it starts, and never gets further
        "activating" if ends_by_itself(block) && value("SubState").starts_with("start") => {
            return Status::Running;
        }
        "activating" => return Status::Starting,
        "deactivating" | "maintenance" => return Status::Stopping,
        _ => {}
    }
    match value("LoadState") {
        "loaded" => {}
        "not-found" => return Status::Missing("systemd knows no such unit".to_owned()),
        "masked" => return Status::Missing("is masked".to_owned()),
        other => return Status::Missing(unusable(other, value("LoadError"))),
    }
    match (value("ActiveState"), active_trigger) {
        // a failed run is the timer's concern; a socket that gives up is no longer active
        ("failed", Some(trigger)) => {
            let why = failure(value("Result"), value("ExecMainStatus"));
            Status::AwaitsTrigger(format!("{trigger} ({why})"))
        }
        ("failed", None) => Status::Failed(failure(value("Result"), value("ExecMainStatus"))),
        (_, Some(trigger)) => Status::AwaitsTrigger(trigger.to_owned()),
        _ if ends_by_itself(block) => Status::EndsByItself,
        _ => Status::Stopped,
    }
}

fn ends_by_itself(block: &Properties<'_>) -> bool {
    let is = |key: &str, value: &str| block.get(key).copied() == Some(value);
    is("Type", "oneshot") && is("RemainAfterExit", "no")
}

// Sentence in an error of D-Bus: the error's name, then the sentence in quotes.
fn unusable(state: &str, error: &str) -> String {
    let sentence = error.split_once('"').map_or("", |(_, rest)| rest);
    let sentence = sentence.trim_end_matches(['"', '.']);
    if sentence.is_empty() {
        format!("cannot be loaded: {state}")
    } else {
        format!("cannot be loaded: {sentence}")
    }
}

fn failure(result: &str, main_status: &str) -> String {
    match result {
        "exit-code" if main_status != "0" => format!("ended with exit code {main_status}"),
        "exit-code" => "one of its commands failed".to_owned(),
        "signal" => format!("was ended by signal {main_status}"),
        "core-dump" => format!("crashed by signal {main_status}"),
        "timeout" => "timed out".to_owned(),
        "watchdog" => "did not answer its watchdog".to_owned(),
        "start-limit-hit" => "was started too often".to_owned(),
        "oom-kill" => "was killed when memory ran out".to_owned(),
        "resources" => "lacked resources".to_owned(),
        "protocol" => "did not do what its type promises".to_owned(),
        other => format!("failed: {other}"),
    }
}
