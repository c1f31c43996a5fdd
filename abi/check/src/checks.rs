//! The checks, each of which relies on those before it.

use std::path::Path;
use std::time::Duration;

use spared_contract::{ConfigTable, ConfigValue, Role, RootsFile, ToPlugin, Verb};

use crate::finding::Finding;
use crate::footprint::{children, still_running};
use crate::host::{Host, change, configure, reason};
use crate::{descriptor, peer, root, watch};

/// A key that no plugin has.
const UNKNOWN_KEY: &str = "no_plugin_has_this_key";

/// One check.
pub struct Check {
    pub name: &'static str,
    /// Message if nothing was found.
    pub passed: &'static str,
    /// The others are not run if this one fails.
    pub needed: bool,
    pub run: fn(&Path, &ConfigTable) -> Vec<Finding>,
}

pub const ALL: [Check; 11] = [
    Check {
        name: "descriptor",
        passed: "describes itself in a note of its file",
        needed: true,
        run: descriptor::check,
    },
    Check {
        name: "symbols",
        passed: "exports spared_plugin_main, its note, and nothing else",
        needed: false,
        run: descriptor::symbols,
    },
    Check {
        name: "configure",
        passed: "accepts its configuration, and a check of it has no effect",
        needed: true,
        run: accept,
    },
    Check {
        name: "refusal",
        passed: "refuses a key that it does not know, by name",
        needed: false,
        run: refusal,
    },
    Check {
        name: "root",
        passed: "takes no other configuration than root's, if it runs as root",
        needed: false,
        run: root::check,
    },
    Check {
        name: "roles",
        passed: "answers 300 roles in any order, the newest last",
        needed: false,
        run: roles,
    },
    Check {
        name: "peer",
        passed: "survives whatever its peer sends, and its coming and going",
        needed: false,
        run: peer::check,
    },
    Check {
        name: "partner",
        passed: "survives whatever other plugins of its node send, and their coming and going",
        needed: false,
        run: peer::check_partners,
    },
    Check {
        name: "watch",
        passed: "handles every state of the pair, and events",
        needed: false,
        run: watch::check,
    },
    Check {
        name: "query",
        passed: "answers its verbs, and words that are none",
        needed: false,
        run: questions,
    },
    Check {
        name: "worker",
        passed: "runs in a worker, confined as by the host, and leaves no program behind",
        needed: false,
        run: life,
    },
];

const ROLES: u64 = 300;
/// How long a role may be pending.
const ROLE_MAX: Duration = Duration::from_secs(5);
/// How long `sparectl status` waits.
const STATUS_MAX: Duration = Duration::from_secs(1);
/// How long a stop may be pending.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Runs a check on a worker; what ends it early is the plugin's fault.
pub fn with_worker(
    path: &Path,
    config: &ConfigTable,
    check: impl FnOnce(&mut Host) -> Result<(), String>,
) -> Vec<Finding> {
    with(Host::spawn(path, config, None), check)
}

/// Runs a check on a worker that is told what root's file says.
pub fn with_roots_file(
    path: &Path,
    config: &ConfigTable,
    roots: RootsFile,
    check: impl FnOnce(&mut Host) -> Result<(), String>,
) -> Vec<Finding> {
    with(Host::spawn(path, config, Some(roots)), check)
}

fn with(
    host: Result<Host, String>,
    check: impl FnOnce(&mut Host) -> Result<(), String>,
) -> Vec<Finding> {
    let mut host = match host {
        Ok(host) => host,
        Err(why) => return vec![Finding::fail(why)],
    };
    if let Err(why) = check(&mut host) {
        let fault = host.fault(why);
        host.findings.push(fault);
    }
    host.findings
}

fn accept(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        let before = host.effects;
        let (status, why) = host.call("configure", configure(config, true))?;
        if status < 0 {
            return Err(match (why.as_str(), config.0.is_empty()) {
                ("", _) => format!(
                    "refuses its configuration without fail(): {}",
                    reason(status, "")
                ),
                (why, true) => format!("needs a configuration, give one with --config: {why}"),
                (why, false) => format!("refuses its configuration: {why}"),
            });
        }
        if host.effects > before {
            let what = "checking a configuration reported something, or called the host";
            host.findings.push(Finding::fail(what));
        }
        for round in ["configure", "configuring again"] {
            let (status, why) = host.call(round, configure(config, false))?;
            if status < 0 {
                let why = reason(status, &why);
                return Err(format!("{round} failed after its check passed: {why}"));
            }
        }
        Ok(())
    })
}

fn refusal(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        let mut config = config.clone();
        let value = ConfigValue::Integer(1);
        config.0.insert(UNKNOWN_KEY.to_owned(), value);
        match host.call("configure", configure(&config, true))? {
            (0.., _) => host.findings.push(Finding::warn(
                "accepts a key that it does not know: a mistyped key would go unnoticed",
            )),
            (_, why) if why.contains(UNKNOWN_KEY) => {}
            (_, why) => host.findings.push(Finding::fail(format!(
                "refuses a key that it does not know without naming it: {why}"
            ))),
        }
        Ok(())
    })
}

fn roles(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        for number in 0..ROLES {
            // repeated and changing ones
            let role = [Role::Active, Role::Backup, Role::Fault][(number * 7 % 11 % 3) as usize];
            host.say("role", |token| change(token, role))?;
        }
        let last = host.call_within("role", ROLE_MAX, |token| change(token, Role::Backup))?;
        if last.is_none() {
            let seconds = ROLE_MAX.as_secs();
            return Err(format!(
                "done() for the newest role did not come within {seconds} s"
            ));
        }
        stop(host)
    })
}

fn words_of(verb: &Verb) -> Vec<Vec<String>> {
    let argv = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    match verb.word.as_str() {
        "" => vec![Vec::new()],
        word => vec![argv(&[word]), argv(&[word, "no", "such", "words"])],
    }
}

fn questions(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        let verbs = host.descriptor.verbs.clone();
        let asks = verbs.iter().filter(|verb| !verb.changes);
        let nonsense = Verb {
            word: "no".to_owned(),
            ..Verb::default()
        };
        for argv in asks.clone().chain([&nonsense]).flat_map(words_of) {
            host.say("query", |token| ToPlugin::Query { token, argv })?;
        }
        if asks.clone().any(|verb| verb.word == "status") {
            ask_status(host)?;
        }
        stop(host)
    })
}

/// As `sparectl status` asks.
fn ask_status(host: &mut Host) -> Result<(), String> {
    let argv = vec!["status".to_owned()];
    let query = |token| ToPlugin::Query { token, argv };
    let text = match host.call_within("query", STATUS_MAX, query)? {
        Some((0.., _)) => return Ok(()),
        Some((status, why)) => format!(
            "query \"status\" failed, which sparectl status needs: {}",
            reason(status, &why)
        ),
        None => "query \"status\" takes more than 1 s: sparectl status omits its rows".to_owned(),
    };
    host.findings.push(Finding::warn(text));
    Ok(())
}

/// A short life, after which nothing is left.
fn life(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, config, |host| {
        host.begin(config)?;
        for role in [Role::Active, Role::Backup] {
            host.say("role", |token| change(token, role))?;
        }
        let programs = children(host.pid());
        stop(host)?;
        for program in programs.into_iter().filter_map(still_running) {
            let text = format!("stop and destroy left {program}");
            host.findings.push(Finding::fail(text));
        }
        Ok(())
    })
}

/// Stops the plugin, and waits for the end of its process.
pub fn stop(host: &mut Host) -> Result<(), String> {
    match host.call_within("stop", STOP_MAX, |token| ToPlugin::Stop { token })? {
        Some((0.., _)) => {}
        Some((status, why)) => {
            let text = format!("stop failed: {}", reason(status, &why));
            host.findings.push(Finding::warn(text));
        }
        None => {
            let seconds = STOP_MAX.as_secs();
            return Err(format!("stop is pending for more than {seconds} s"));
        }
    }
    host.exit()
}
