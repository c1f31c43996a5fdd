// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken states, each made for real on the active node or on the backup, and what both nodes say of it:
//! the word, the exit code, and the finding. When it is mended, both say OK again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use spared_control::Status;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario, signal_to, skipped};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::router::{Plan, PluginFile};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
/// A service that ended soon after its start is well only when it has run for a minute.
const MENDED: Duration = Duration::from_secs(70);

const SET: &str = "table inet filter {\n set bans { type ipv4_addr; flags timeout; }\n}\n";
const NO_SET: &str = "delete set inet filter bans";

/// serve NODE VERB. Whether it may, lies in NODE/ as files.
const SERVE: &str = r#"cd "$(dirname "$0")/$1" || exit 9
[ ! -e "$2-fails" ] || { echo "no luck today"; exit 1; }
case $2 in
status) [ -e up ] || exit 3;;
start) : >up;;
stop) rm -f up;;
esac"#;

/// What makes a state, and what mends it.
type Deed = fn(&Bed<'_>) -> Result<()>;

/// A broken state: the finding as "SP-0401 r1", as r1 says it, and as r2 does.
struct State {
    name: &'static str,
    make: Deed,
    mend: Deed,
    /// Of `probe`.
    word: &'static str,
    exit: i32,
    found: [&'static str; 2],
}

/// r1 is active, r2 is ready.
struct Bed<'l> {
    pair: Linked<'l>,
    folder: PathBuf,
}

impl<'l> Bed<'l> {
    fn start(lab: &'l Lab) -> Result<Self> {
        let folder = lab.dir.join("services");
        for node in ["r1", "r2"] {
            fs::create_dir_all(folder.join(node))?;
        }
        let script = folder.join("serve");
        fs::write(&script, format!("#!/bin/sh\n{SERVE}\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        spared_sdk::child::trusted(&script).map_err(|why| {
            skipped(format!(
                "{why}: nothing is root's alone in a user namespace"
            ))
        })?;
        for site in &lab.sites {
            site.ns.nft(SET)?;
        }
        let pair = Linked::start(lab, &plan(&script))?;
        pair.wait_active(0)?;
        let bed = Self { pair, folder };
        bed.wait_ok("at first")?;
        Ok(bed)
    }

    fn status(&self, site: usize) -> Status {
        self.pair.status(site).unwrap_or_default()
    }

    /// "SP-0401 r1" of each finding.
    fn found(&self, site: usize) -> Vec<String> {
        let findings = self.status(site).verdict.findings;
        let ids = findings.iter();
        ids.map(|it| format!("{} {}", it.id, it.node)).collect()
    }

    fn wait_ok(&self, when: &str) -> Result<()> {
        let is_ok = || (0..2).all(|site| self.probe(site) == ("ok".to_owned(), 0));
        match poll(MENDED, STEP, is_ok) {
            true => Ok(()),
            false => self.pair.wait(&format!("OK on both {when}"), is_ok),
        }
    }

    fn probe(&self, site: usize) -> (String, i32) {
        let (code, word) = self.pair.said(site, &["probe"]).unwrap_or_default();
        (word.trim().to_owned(), code)
    }

    /// Makes a state, compares what is said, and mends it.
    fn see(&self, state: &State) -> Result<()> {
        (state.make)(self)?;
        let wanted = (state.word.to_owned(), state.exit);
        let is_said = || {
            (0..2).all(|site| self.found(site) == [state.found[site]] && self.probe(site) == wanted)
        };
        let name = state.name;
        if !poll(LIMIT, STEP, is_said) {
            let said = [0, 1].map(|site| self.pair.said(site, &["status"]).unwrap_or_default().1);
            let wanted = (&wanted, state.found);
            return Err(format!("{name}: not {wanted:?}:\n{}\n{}", said[0], said[1]).into());
        }
        // it stays so: nothing flaps while the state lasts
        let holds = (0..10).all(|_| {
            std::thread::sleep(STEP);
            is_said()
        });
        assert!(holds, "{name}: {:?} {:?}", self.found(0), self.found(1));
        self.same_from_afar(name)?;
        (state.mend)(self)?;
        self.wait_ok(&format!("after {name}"))
    }

    /// `--node r2` on r1 says what r2 says itself.
    fn same_from_afar(&self, name: &str) -> Result<()> {
        let afar = || -> Result<_> {
            let (_, text) = self.pair.said(0, &["--json", "--node", "r2", "status"])?;
            let status: Status = serde_json::from_str(&text)?;
            let ids = status.verdict.findings.into_iter();
            let ids: Vec<String> = ids.map(|it| it.id).collect();
            Ok((status.verdict.word, ids))
        };
        let own = || {
            let verdict = self.status(1).verdict;
            let ids: Vec<String> = verdict.findings.into_iter().map(|it| it.id).collect();
            (verdict.word, ids)
        };
        let is_same = poll(LIMIT, STEP, || afar().is_ok_and(|afar| afar == own()));
        assert!(is_same, "{name}: {:?} {:?}", afar()?, own());
        Ok(())
    }

    fn ip(&self, site: usize, line: &str) -> Result<()> {
        self.pair.site(site).ns.ip(&format!("{line}\n"))
    }

    fn nft(&self, site: usize, rules: &str) -> Result<()> {
        self.pair.site(site).ns.nft(rules)
    }

    fn do_on(&self, site: usize, words: &[&str]) -> Result<()> {
        self.pair.done(site, words).map(drop)
    }

    fn put(&self, node: &str, file: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(node).join(file), "")?)
    }

    fn take(&self, node: &str, file: &str) -> Result<()> {
        Ok(fs::remove_file(self.folder.join(node).join(file))?)
    }
}

fn plan(script: &Path) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    let mut messenger = peer("");
    messenger.toml = "weight = 0\n".to_owned();
    let script = script.display().to_string();
    let argv = |verb: &str| {
        let words = |node: &str| format!("{:?}", [script.as_str(), node, verb]);
        let (first, second) = (words("r1"), words("r2"));
        format!("{verb} = {{ r1 = {first}, r2 = {second} }}\n")
    };
    let verbs: String = ["start", "stop", "status"].map(argv).concat();
    plan.plugins = vec![
        messenger,
        PluginFile {
            name: "sets".to_owned(),
            toml: "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n".to_owned(),
            file: "libspared_sets.so".to_owned(),
        },
        PluginFile {
            name: "service".to_owned(),
            toml: format!("poll_interval = \"1s\"\n[[service]]\nname = \"web\"\n{verbs}"),
            file: "libspared_service.so".to_owned(),
        },
    ];
    plan
}

/// A state that degrades the pair, and that both nodes name alike.
fn degraded(name: &'static str, found: &'static str, make: Deed, mend: Deed) -> State {
    State {
        name,
        make,
        mend,
        word: "degraded",
        exit: 1,
        found: [found; 2],
    }
}

#[test]
fn what_plugins_were_told_and_is_not_so_is_degraded_on_either_node() {
    let states = [
        degraded(
            "a service that does not start on the active node",
            "SP-0401 r1",
            |bed| {
                bed.put("r1", "start-fails")?;
                bed.take("r1", "up")
            },
            |bed| {
                bed.take("r1", "start-fails")?;
                bed.do_on(0, &["service", "retry"])
            },
        ),
        degraded(
            "a service that does not stop on the backup",
            "SP-0401 r2",
            |bed| {
                bed.put("r2", "stop-fails")?;
                bed.put("r2", "up")
            },
            |bed| {
                bed.take("r2", "stop-fails")?;
                bed.do_on(1, &["service", "retry"])
            },
        ),
        degraded(
            "a set that is gone on the backup",
            "SP-0304 r2",
            |bed| bed.nft(1, NO_SET),
            |bed| bed.nft(1, SET),
        ),
        degraded(
            "a check of weight 0 on the active node",
            "SP-0401 r1",
            |bed| bed.do_on(0, &["messenger", "check", "bad"]),
            |bed| bed.do_on(0, &["messenger", "check", "good"]),
        ),
        degraded(
            "a check of weight 0 on the backup",
            "SP-0401 r2",
            |bed| bed.do_on(1, &["messenger", "check", "bad"]),
            |bed| bed.do_on(1, &["messenger", "check", "good"]),
        ),
        degraded(
            "a plugin that is not in sync on the backup",
            "SP-0304 r2",
            |bed| bed.do_on(1, &["messenger", "in-sync", "no"]),
            |bed| bed.do_on(1, &["messenger", "in-sync", "yes"]),
        ),
    ];
    scenario(2, |lab| {
        let bed = Bed::start(lab)?;
        states.iter().try_for_each(|state| bed.see(state))
    });
}

#[test]
fn what_the_machine_lacks_is_degraded_on_either_node() {
    let states = [
        degraded(
            "an interface of the backup that is down",
            "SP-0403 r2",
            |bed| bed.ip(1, "link set wan down"),
            |bed| bed.ip(1, "link set wan up"),
        ),
        degraded(
            "an interface of the backup without an own address",
            "SP-0204 r2",
            |bed| {
                let own = Wire::Wan.ipv4(bed.pair.site(1).host());
                bed.ip(1, &format!("addr del {own}/24 dev wan"))
            },
            |bed| {
                let own = Wire::Wan.ipv4(bed.pair.site(1).host());
                bed.ip(1, &format!("addr add {own}/24 dev wan"))
            },
        ),
        State {
            found: ["SP-0501 r1", "SP-0501 r2"],
            ..degraded(
                "one of two links cut",
                "",
                |bed| bed.pair.lab.cut(bed.pair.site(1), Wire::LINKS[1]),
                |bed| bed.pair.lab.join(bed.pair.site(1), Wire::LINKS[1]),
            )
        },
        degraded(
            "one of two links down at the backup",
            "SP-0501 r2",
            |bed| bed.ip(1, &format!("link set {} down", Wire::LINKS[1].name())),
            |bed| bed.ip(1, &format!("link set {} up", Wire::LINKS[1].name())),
        ),
        degraded(
            "maintenance",
            "SP-0701 r2",
            |bed| bed.do_on(1, &["maintenance", "on"]),
            |bed| bed.do_on(1, &["maintenance", "off"]),
        ),
        degraded(
            "a forced backup",
            "SP-0703 r2",
            |bed| bed.do_on(1, &["force", "backup"]),
            |bed| bed.do_on(1, &["force", "reset"]),
        ),
        degraded(
            "frozen, which is told of once",
            "SP-0702 r1",
            |bed| bed.do_on(0, &["freeze", "1m"]),
            |bed| bed.do_on(0, &["freeze", "off"]),
        ),
    ];
    scenario(2, |lab| {
        let bed = Bed::start(lab)?;
        states.iter().try_for_each(|state| bed.see(state))
    });
}

#[test]
fn a_plugin_that_is_given_up_is_one_finding() {
    let state = degraded(
        "a plugin that died too often",
        "SP-0301 r2",
        |bed| {
            let is_failed = || {
                if let Some(pid) = bed.pair.process(1, "messenger") {
                    let _ = signal_to(pid, Signal::KILL);
                }
                let plugins = bed.status(1).plugins;
                plugins
                    .iter()
                    .any(|it| it.name == "messenger" && it.state == "failed")
            };
            match poll(Duration::from_secs(60), STEP, is_failed) {
                true => Ok(()),
                false => Err("it is started for ever".into()),
            }
        },
        |bed| bed.do_on(1, &["reload"]),
    );
    scenario(2, |lab| Bed::start(lab)?.see(&state));
}

#[test]
fn a_dead_node_is_alone_and_a_stopped_one_too() {
    scenario(2, |lab| {
        let mut bed = Bed::start(lab)?;
        for is_stopped in [true, false] {
            match is_stopped {
                true => bed.pair.routers[1].hang()?,
                false => bed.pair.routers[1].kill(),
            }
            let wanted = ("alone".to_owned(), 2);
            bed.pair.wait("alone", || {
                bed.probe(0) == wanted && bed.found(0) == ["SP-0101 r2"]
            })?;
            match is_stopped {
                true => bed.pair.routers[1].resume()?,
                false => bed.pair.restart(1)?,
            }
            bed.wait_ok("when it is back")?;
        }
        Ok(())
    });
}

#[test]
fn without_a_link_heartbeats_tell_whether_the_other_node_lives() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[]);
        plan.without_preference();
        let mut pair = Linked::begin(lab, [plan.clone(), plan])?;
        let active = pair.stays(Duration::from_secs(1))?;
        let head = |pair: &Linked<'_>| pair.said(active, &["status"]).unwrap_or_default();
        let other = format!("r{}", 2 - active);
        pair.wait("the other standing by", || {
            let (code, text) = head(&pair);
            code == 0 && text.starts_with("OK") && text.contains(&format!("{other} stands by"))
        })?;
        pair.routers[1 - active].kill();
        pair.wait("alone", || {
            let (code, text) = head(&pair);
            code == 2 && text.starts_with("ALONE") && text.contains("(SP-0101)")
        })
    });
}
