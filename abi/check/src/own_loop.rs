//! Checks of a plugin that runs in a loop of its own, over the socket of its worker, as the host sees it.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::net::{SendFlags, send};
use spared_contract::channel::{DOWN, MESSAGE, RECORD_MAX, UP};
use spared_contract::{ConfigTable, Role, ToPlugin};

use crate::checks::{Check, UNKNOWN_KEY, with_unknown_key};
use crate::confined::{self, Host, change, configure};
use crate::descriptor;
use crate::finding::Finding;

pub const ALL: [Check; 7] = [
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
        run: descriptor::symbols_of_loop,
    },
    Check {
        name: "configure",
        passed: "accepts its configuration, twice, after a check of it",
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
        name: "roles",
        passed: "answers 300 roles in any order, the newest last",
        needed: false,
        run: roles,
    },
    Check {
        name: "peer",
        passed: "survives whatever its peer sends, and its coming and going",
        needed: false,
        run: peer,
    },
    Check {
        name: "worker",
        passed: "runs in a worker, confined as by the host, and stops when told",
        needed: false,
        run: confined::check,
    },
];

const ROLES: u64 = 300;
const ROUNDS: u32 = 5;
/// Messages of the peer in a round.
const MESSAGES: usize = 400;

/// Runs a check on a worker; what ends it early is the plugin's fault.
fn with_worker(path: &Path, check: impl FnOnce(&mut Host) -> Result<(), String>) -> Vec<Finding> {
    let mut host = match Host::spawn(path) {
        Ok(host) => host,
        Err(why) => return vec![Finding::fail(why)],
    };
    if let Err(why) = check(&mut host) {
        host.findings.push(Finding::fail(why));
    }
    host.findings
}

fn accept(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, |host| {
        host.loaded()?;
        for (what, check) in [
            ("checking its configuration", true),
            ("configure", false),
            ("configuring again", false),
        ] {
            let hint = if config.0.is_empty() {
                ": give one with --config"
            } else {
                ""
            };
            let asked = host.ask(what, configure(config, check));
            asked.map_err(|why| format!("{why}{hint}"))?;
        }
        Ok(())
    })
}

fn refusal(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, |host| {
        host.loaded()?;
        let config = with_unknown_key(config);
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
    with_worker(path, |host| {
        host.begin(config)?;
        for number in 0..ROLES {
            // repeated and changing ones
            let role = [Role::Active, Role::Backup, Role::Fault][(number * 7 % 11 % 3) as usize];
            host.say("role", |token| change(token, role))?;
        }
        host.call("role", |token| change(token, Role::Backup))?;
        host.end()
    })
}

fn peer(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    with_worker(path, |host| {
        let descriptor = host.begin(config)?;
        let (link, theirs) = spared_records::pair().map_err(|error| error.to_string())?;
        host.hand(&ToPlugin::Channel, &[theirs.as_fd()]);
        let mut chance = 1u32;
        let mut next = move || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            chance >> 8
        };
        for wire in [descriptor.wire_max, descriptor.wire_min]
            .into_iter()
            .cycle()
            .take(ROUNDS as usize)
        {
            let put = |record: &[u8]| {
                let _ = send(&link, record, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            };
            put(&[&[UP][..], &wire.to_be_bytes()].concat());
            for number in 0..MESSAGES {
                let length = [next() as usize % 2048, RECORD_MAX - 1][usize::from(number == 0)];
                let mut record = vec![MESSAGE];
                record.extend((0..length).map(|_| next() as u8));
                put(&record);
                // it reads what is there, so that the channel is not full for long
                if number % 64 == 0 {
                    host.say("message", |token| ToPlugin::Settle {
                        token,
                        deadline_ns: 0,
                    })?;
                }
            }
            put(&[DOWN]);
            host.say("message", |token| ToPlugin::Settle {
                token,
                deadline_ns: 0,
            })?;
        }
        host.end()
    })
}
