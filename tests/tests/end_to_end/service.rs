// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services, hooks and what else follows the role, between two real routers. The services are
//! processes of a script that notes when each of its commands began and ended.

mod conflict;
mod delay;
mod kernel;
mod life;
mod order;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, disturbed, is_alive, signal_to, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile, Spared};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);

/// serve NODE NAME VERB. What is to befall it lies in NODE/ as files.
const SERVE: &str = r#"cd "$(dirname "$0")/$1" || exit 9
lives() { [ -s "$1.pid" ] && grep -q sleep "/proc/$(cat "$1.pid")/cmdline" 2>/dev/null; }
note() { echo "$(date +%s%N) $*" >>log; }
case $3 in
status) lives "$2" || exit 3; exit 0;;
esac
note "$2" "$3"
[ ! -e "$2.$3-fails" ] || { echo "no luck today"; note "$2" "$3-failed"; exit 1; }
[ ! -e "$2.$3-hangs" ] || exec sleep 1000
[ ! -e "$2.$3-slow" ] || sleep "$(cat "$2.$3-slow")"
case $3 in
start) lives "$2" || { sleep 100000 >/dev/null 2>&1 & echo $! >"$2.pid"; };;
stop) ! lives "$2" || kill -9 "$(cat "$2.pid")"; rm -f "$2.pid";;
esac
note "$2" "$3-ended"
"#;

struct Services<'l> {
    pair: Linked<'l>,
    folder: PathBuf,
}

/// One line of a node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    at_ns: u128,
    name: String,
    what: String,
}

/// Puts the script and the nodes' folders there, where that makes sense.
fn prepare(lab: &Lab) -> Result<PathBuf> {
    let systemd = Path::new("/run/systemd/system").is_dir();
    if systemd && fs::read_link("/proc/1/ns/net").is_err() {
        return Err(skipped(
            "systemd would be asked to run services, and only root may ask it",
        ));
    }
    let folder = lab.dir.join("services");
    for path in ["r1", "r2", "hooks/active.d", "hooks/backup.d"] {
        fs::create_dir_all(folder.join(path))?;
    }
    let script = install(&folder, "serve", SERVE)?;
    spared_sdk::child::trusted(&script).map_err(|why| {
        skipped(format!(
            "{why}: nothing is root's alone in a user namespace"
        ))
    })?;
    Ok(folder)
}

fn install(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let new = folder.join(format!(".{}", name.replace('/', "-")));
    fs::write(&new, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, &path)?;
    Ok(path)
}

/// A table of a service that is a process of that name.
fn service(folder: &Path, name: &str, keys: &str) -> String {
    let script = folder.join("serve");
    let argv = |verb: &str| {
        let words = |node: &str| {
            let script = script.display().to_string();
            format!("{:?}", [script.as_str(), node, name, verb])
        };
        format!(
            "{verb} = {{ r1 = {}, r2 = {} }}\n",
            words("r1"),
            words("r2")
        )
    };
    let verbs: String = ["start", "stop", "status"].map(argv).concat();
    format!("[[service]]\nname = {name:?}\n{verbs}{keys}\n")
}

fn head(folder: &Path) -> String {
    let hooks = folder.join("hooks").display().to_string();
    format!("poll_interval = \"1s\"\nhooks = {hooks:?}\n")
}

fn plan(toml: String) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan.plugins.push(PluginFile {
        name: "service".to_owned(),
        toml,
        file: "libspared_service.so".to_owned(),
    });
    plan
}

impl<'l> Services<'l> {
    fn start(lab: &'l Lab, folder: &Path, toml: String) -> Result<Self> {
        let pair = Linked::start(lab, &plan(toml))?;
        Ok(Self {
            pair,
            folder: folder.to_owned(),
        })
    }

    fn at(&self) -> Result<usize> {
        match self.pair.active().as_slice() {
            [site] => Ok(*site),
            sites => Err(format!("active: {sites:?}").into()),
        }
    }

    fn path(&self, site: usize, name: &str) -> PathBuf {
        self.folder.join(format!("r{}", site + 1)).join(name)
    }

    fn set(&self, site: usize, name: &str, content: &str) -> Result<()> {
        Ok(fs::write(self.path(site, name), content)?)
    }

    fn unset(&self, site: usize, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.path(site, name))?)
    }

    fn notes(&self, site: usize) -> Vec<Note> {
        let text = fs::read_to_string(self.path(site, "log")).unwrap_or_default();
        let note = |line: &str| {
            let mut words = line.split(' ');
            Some(Note {
                at_ns: words.next()?.parse().ok()?,
                name: words.next()?.to_owned(),
                what: words.next()?.to_owned(),
            })
        };
        text.lines().filter_map(note).collect()
    }

    /// Its notes from then on, without times: "first start".
    fn told_since(&self, site: usize, seen: usize) -> Vec<String> {
        let notes = self.notes(site).into_iter().skip(seen);
        notes.map(|it| format!("{} {}", it.name, it.what)).collect()
    }

    fn pid(&self, site: usize, name: &str) -> Option<u32> {
        let text = fs::read_to_string(self.path(site, &format!("{name}.pid"))).ok()?;
        let pid = text.trim().parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (is_alive(pid) && line.starts_with(b"sleep")).then_some(pid)
    }

    fn runs(&self, site: usize, name: &str) -> bool {
        self.pid(site, name).is_some()
    }

    fn kill(&self, site: usize, name: &str) -> Result<()> {
        let pid = self.pid(site, name).ok_or("it does not run")?;
        signal_to(pid, Signal::KILL)
    }

    fn text(&self, site: usize, key: &str) -> String {
        let row = Spared(&self.pair.routers[site]).row(&["service"], key);
        let text = |row: serde_json::Value| row.as_str().map(str::to_owned);
        row.ok().and_then(text).unwrap_or_default()
    }

    fn number(&self, site: usize, key: &str) -> u64 {
        let row = Spared(&self.pair.routers[site]).row(&["service"], key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    }

    fn events(&self, site: usize) -> String {
        let (_, text) = self.pair.said(site, &["events"]).unwrap_or_default();
        text
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        if poll(LIMIT, STEP, || done(self)) {
            return Ok(());
        }
        let mut text = format!("not {what} after {LIMIT:?}\n");
        for site in [0, 1] {
            let said = self.pair.said(site, &["service"]).unwrap_or_default().1;
            let notes = self.told_since(site, 0).join("\n  ");
            text += &format!("r{}:\n{said}\n  {notes}\n{}", site + 1, self.events(site));
        }
        // a node that slept for a second gives its role away
        if text.contains("came too late") {
            return Err(disturbed(text));
        }
        Err(text.into())
    }

    /// Waits until all of them run here and none of them there.
    fn wait_at(&self, site: usize, names: &[&str]) -> Result<()> {
        self.wait(&format!("all at r{}", site + 1), |it| {
            let all = |site| names.iter().filter(|name| it.runs(site, name)).count();
            all(site) == names.len() && all(1 - site) == 0
        })
    }

    fn switch(&self) -> Result<usize> {
        let from = self.at()?;
        self.pair.wait_settled()?;
        // the other may not be through with leaving
        self.pair.wait("switched over", || {
            let said = self.pair.said(from, &["switch"]);
            said.is_ok_and(|(code, _)| code == 0)
        })?;
        self.pair.wait_active(1 - from)?;
        Ok(1 - from)
    }

    fn worker(&self, site: usize) -> Result<u32> {
        let worker = self.pair.process(site, "service");
        worker.ok_or_else(|| "no service worker".into())
    }
}
