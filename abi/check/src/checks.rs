//! The checks, each of which relies on those before it.

use std::path::Path;
use std::time::Duration;

use spared_abi as abi;

use spared_contract::{ConfigTable, ConfigValue, Verb};

use crate::confined;
use crate::descriptor;
use crate::finding::{Finding, Level};
use crate::footprint::Footprint;
use crate::trial::{Mode, Trial, load};
use crate::{partner, peer, watch};

/// A key that no plugin has.
pub const UNKNOWN_KEY: &str = "no_plugin_has_this_key";

/// One check.
pub struct Check {
    pub name: &'static str,
    /// Message if nothing was found.
    pub passed: &'static str,
    /// The others are not run if this one fails.
    pub needed: bool,
    pub run: fn(&Path, &ConfigTable) -> Vec<Finding>,
}

pub const ALL: [Check; 13] = [
    Check {
        name: "descriptor",
        passed: "loads with every symbol bound, and describes itself",
        needed: true,
        run: descriptor::check,
    },
    Check {
        name: "symbols",
        passed: "exports spared_plugin_v0 and nothing else",
        needed: false,
        run: descriptor::symbols,
    },
    Check {
        name: "life",
        passed: "created and destroyed 100 instances without a trace",
        needed: true,
        run: life,
    },
    Check {
        name: "configure",
        passed: "accepts its configuration, and a check of it has no effect",
        needed: true,
        run: configure,
    },
    Check {
        name: "refusal",
        passed: "refuses a key that it does not know, by name",
        needed: false,
        run: refusal,
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
        run: partner::check,
    },
    Check {
        name: "watch",
        passed: "handles every state of the pair, and events",
        needed: false,
        run: watch::check,
    },
    Check {
        name: "stop",
        passed: "leaves no descriptor, thread or child behind",
        needed: false,
        run: stop,
    },
    Check {
        name: "worker",
        passed: "runs in a worker, confined as by the host, and stops when told",
        needed: false,
        run: confined::check,
    },
    Check {
        name: "old-host",
        passed: "reads nothing beyond the table of the oldest host",
        needed: false,
        run: old_host,
    },
    Check {
        name: "borrow",
        passed: "uses no argument after its callback returned",
        needed: false,
        run: borrow,
    },
];

const INSTANCES: usize = 100;
const ROLES: u32 = 300;
/// How long a role may be pending.
const ROLE_MAX: Duration = Duration::from_secs(5);
/// The same in the checks that are not about roles.
const ROLE_USUAL: Duration = Duration::from_secs(1);
/// How long `sparectl status` waits.
const STATUS_MAX: Duration = Duration::from_secs(1);
/// Growth of resident memory that 100 instances may leave, as the allocator keeps some.
const GROWTH_KB_MAX: u64 = 1024;

fn life(path: &Path, _config: &ConfigTable) -> Vec<Finding> {
    let plugin = match load(path) {
        Ok(plugin) => plugin,
        Err(why) => return vec![Finding::fail(why)],
    };
    let table = plugin.table;
    let mut findings = Vec::new();
    let mut before = None;
    for round in 0..INSTANCES {
        let again = spared_worker::Loaded {
            table,
            descriptor: plugin.descriptor.clone(),
            interface: plugin.interface,
            group: plugin.group,
            peer: plugin.peer,
            identity: plugin.identity,
            local: plugin.local,
            watch: plugin.watch,
        };
        match Trial::of(again, Mode::Plain) {
            Ok(trial) => findings.extend(trial.destroy()),
            Err(why) => return vec![why],
        }
        // The first ones may set up things that stay.
        if round == 9 {
            before = Some(Footprint::now());
        }
    }
    let after = Footprint::now();
    if let Some(before) = before {
        findings.extend(after.left_since(&before, "create and destroy"));
        let growth_kb = after.resident_kb.saturating_sub(before.resident_kb);
        if growth_kb > GROWTH_KB_MAX {
            findings.push(Finding::fail(format!(
                "{} instances left {growth_kb} kB of memory behind",
                INSTANCES - 10
            )));
        }
    }
    findings
}

fn configure(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match Trial::create(path, Mode::Plain) {
        Ok(trial) => trial,
        Err(why) => return vec![why],
    };
    let before = Footprint::now();
    let status = trial.configure(config, abi::CONFIGURE_CHECK);
    if status < 0 {
        let said = !trial.record.failures.borrow().is_empty();
        let why = trial.why(status);
        return vec![Finding::fail(match (said, config.0.is_empty()) {
            (false, _) => format!("refuses its configuration without fail(): {why}"),
            (true, true) => format!("needs a configuration, give one with --config: {why}"),
            (true, false) => format!("refuses its configuration: {why}"),
        })];
    }
    let mut findings = Footprint::now().left_since(&before, "checking a configuration");
    let record = trial.record;
    if !record.timers.borrow().is_empty()
        || !record.watches.borrow().is_empty()
        || record.requests.get() > 0
    {
        findings.push(Finding::fail(
            "checking a configuration set timers, watches, or called the host",
        ));
    }
    for round in ["configure", "configuring again"] {
        let status = trial.configure(config, 0);
        if status < 0 {
            let why = trial.why(status);
            findings.push(Finding::fail(format!(
                "{round} failed after its check passed: {why}"
            )));
        }
    }
    findings.extend(trial.destroy());
    findings
}

fn refusal(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match Trial::create(path, Mode::Plain) {
        Ok(trial) => trial,
        Err(why) => return vec![why],
    };
    let status = trial.configure(&with_unknown_key(config), abi::CONFIGURE_CHECK);
    let failures = trial.record.failures.take();
    let mut findings = trial.destroy();
    if status >= 0 {
        findings.push(Finding::warn(
            "accepts a key that it does not know: a mistyped key would go unnoticed",
        ));
    } else if !failures.iter().any(|failure| failure.contains(UNKNOWN_KEY)) {
        findings.push(Finding::fail(format!(
            "refuses a key that it does not know without naming it in fail(): {failures:?}"
        )));
    }
    findings
}

/// A configuration with one key more, which no plugin has.
pub fn with_unknown_key(config: &ConfigTable) -> ConfigTable {
    let mut config = config.clone();
    let value = ConfigValue::Integer(1);
    config.0.insert(UNKNOWN_KEY.to_owned(), value);
    config
}

pub fn started(path: &Path, config: &ConfigTable, mode: Mode) -> Result<Trial, Vec<Finding>> {
    let mut trial = Trial::create(path, mode).map_err(|why| vec![why])?;
    for (what, status) in [
        ("configure", trial.configure(config, 0)),
        ("start", trial.start()),
    ] {
        if status < 0 {
            let why = trial.why(status);
            return Err(vec![Finding::fail(format!("{what} failed: {why}"))]);
        }
    }
    Ok(trial)
}

fn roles(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let mut trial = match started(path, config, Mode::Plain) {
        Ok(trial) => trial,
        Err(findings) => return findings,
    };
    let mut last = (0, 0);
    let mut pending = 0;
    for number in 0..ROLES {
        // Repeated, changing and unknown roles; time passes after every sixteenth.
        let role = [abi::ROLE_ACTIVE, abi::ROLE_BACKUP, abi::ROLE_FAULT, 77]
            [(number * 7 % 11 % 4) as usize];
        last = trial.role("group", role);
        pending += u32::from(last.1 == abi::PENDING);
        if number % 16 == 0 {
            trial.serve(Duration::from_millis(3), |_| false);
        }
    }
    if last.1 == abi::PENDING {
        let token = last.0;
        if !trial.serve(ROLE_MAX, |record| record.done.borrow().contains_key(&token)) {
            trial.findings.push(Finding::fail(format!(
                "done() for the newest role did not come within {} s ({pending} were pending)",
                ROLE_MAX.as_secs()
            )));
        }
    }
    let late: Vec<u64> = trial
        .record
        .done
        .borrow()
        .keys()
        .filter(|token| **token > last.0)
        .copied()
        .collect();
    if !late.is_empty() {
        trial.findings.push(Finding::fail(format!(
            "done() for tokens that were never given: {late:?}"
        )));
    }
    trial.stop();
    let trespasses = trespasses(&trial);
    let misuses = trial.record.misuses.take();
    let mut findings = trial.destroy();
    findings.extend(trespasses);
    findings.extend(misuses.into_iter().map(Finding::fail));
    findings
}

fn trespasses(trial: &Trial) -> Option<Finding> {
    let called = trial
        .record
        .trespasses
        .lock()
        .map(|called| called.clone())
        .unwrap_or_default();
    let first = called.first()?;
    Some(Finding::fail(format!(
        "called {first}() from a thread other than the loop's: only log and wake are for any thread"
    )))
}

fn stop(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    // A first instance may set up things that stay.
    for round in 0..2 {
        let before = Footprint::now();
        let mut trial = match started(path, config, Mode::Plain) {
            Ok(trial) => trial,
            Err(findings) => return findings,
        };
        let (token, status) = trial.role("group", abi::ROLE_ACTIVE);
        if status == abi::PENDING {
            trial.serve(ROLE_USUAL, |record| {
                record.done.borrow().contains_key(&token)
            });
        }
        trial.query(&["status"]);
        trial.serve(Duration::from_millis(100), |_| false);
        let status = trial.stop();
        if status < 0 {
            let why = trial.why(status);
            trial
                .findings
                .push(Finding::warn(format!("stop failed: {why}")));
        }
        let threads = Footprint::now().threads.saturating_sub(before.threads);
        if threads > 0 {
            trial.findings.push(Finding::fail(format!(
                "stop left {threads} threads running"
            )));
        }
        let mut findings = trial.destroy();
        findings.extend(Footprint::now().left_since(&before, "stop and destroy"));
        if round == 1
            || findings
                .iter()
                .any(|finding| finding.level == Level::Fail && finding.text.contains("threads"))
        {
            return findings;
        }
    }
    Vec::new()
}

/// The oldest host has minor 0, whose table is the whole of today's. With later minors the table must
/// be cut at each.
fn old_host(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    through(path, config, Mode::OldHost)
}

fn borrow(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    through(path, config, Mode::Borrow)
}

fn questions(verb: &Verb) -> Vec<Vec<&str>> {
    match verb.word.as_str() {
        "" => vec![vec![]],
        word => vec![vec![word], vec![word, "no", "such", "words"]],
    }
}

/// Calls every callback once or twice.
fn through(path: &Path, config: &ConfigTable, mode: Mode) -> Vec<Finding> {
    let mut trial = match started(path, config, mode) {
        Ok(trial) => trial,
        Err(findings) => return findings,
    };
    for role in [abi::ROLE_ACTIVE, abi::ROLE_BACKUP] {
        let (token, status) = trial.role("group", role);
        if status == abi::PENDING {
            trial.serve(ROLE_USUAL, |record| {
                record.done.borrow().contains_key(&token)
            });
        }
    }
    // The words that it lists as asking, alone and with arguments.
    let verbs = trial.plugin.descriptor.verbs.clone();
    let asks = verbs.iter().filter(|verb| !verb.changes);
    let mut questions: Vec<Vec<&str>> = asks.flat_map(questions).collect();
    questions.push(vec!["no", "such", "words"]);
    for words in questions {
        let (token, mut status) = trial.query(&words);
        if mode != Mode::OldHost || words != ["status"] {
            continue;
        }
        if status == abi::PENDING {
            trial.serve(STATUS_MAX, |record| {
                record.done.borrow().contains_key(&token)
            });
            let done = trial.record.done.borrow().get(&token).copied();
            status = done.unwrap_or(abi::PENDING);
        }
        if status == abi::PENDING {
            let text = "query \"status\" takes more than 1 s: sparectl status omits its rows";
            trial.findings.push(Finding::warn(text.to_owned()));
        }
        if status < 0 {
            let why = trial.why(status);
            let text = format!("query \"status\" failed, which sparectl status needs: {why}");
            trial.findings.push(Finding::warn(text));
        }
    }
    trial.configure(config, 0);
    if mode == Mode::Borrow {
        trial.up(trial.plugin.descriptor.wire_max);
        trial.message(b"not what a peer says");
    }
    trial.serve(Duration::from_millis(200), |_| false);
    if mode == Mode::Borrow {
        trial.down();
    }
    trial.stop();
    trial.destroy()
}
