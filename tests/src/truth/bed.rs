// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers on which broken states are made, judged and repaired, one after another.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_message::control::Status;
use spared_verdict::Word;

use super::{ExpectedReport, State};
use crate::Result;
use crate::clock::poll;
use crate::dhcp::Server;
use crate::lab::{Daemon, Disk, Relay, Site, is_alive, is_stopped};
use crate::linked::Linked;
use crate::router::{Files, Router};

const STEP: Duration = Duration::from_millis(50);
/// Longest time until both nodes have noticed a state, or its end.
const LIMIT: Duration = Duration::from_secs(20);
/// Time for which an expected report must stay unchanged.
const HOLDS: Duration = Duration::from_millis(400);

pub struct Bed<'l> {
    pub pair: Linked<'l>,
    /// Folder of each node's scripts.
    pub folder: PathBuf,
    /// DHCP servers of each node, if the bed has any, and their disks.
    pub servers: [Vec<Server<'l>>; 2],
    pub disks: Vec<Disk>,
    /// Long cables.
    pub relays: Vec<Relay>,
    /// A router outside the pair.
    pub third: Option<Router>,
    /// Programs that run until the state is repaired.
    pub running: Vec<Daemon>,
    /// Seconds by which each node's clock is ahead, and since when.
    pub clocks: [(i64, Instant); 2],
    /// Contents of files to restore, by path.
    pub aside: Vec<(PathBuf, Vec<u8>)>,
    /// Addresses of DHCP clients, IPv4 and IPv6, the latest last.
    pub leased: Vec<[String; 2]>,
}

impl<'l> Bed<'l> {
    pub fn new(pair: Linked<'l>) -> Self {
        let folder = pair.lab.dir.join("scripts");
        Self {
            pair,
            folder,
            servers: [Vec::new(), Vec::new()],
            disks: Vec::new(),
            relays: Vec::new(),
            third: None,
            running: Vec::new(),
            clocks: [(0, Instant::now()); 2],
            aside: Vec::new(),
            leased: Vec::new(),
        }
    }

    // ---- reports

    pub fn status(&self, site: usize) -> Status {
        self.pair.status(site).unwrap_or_default()
    }

    /// Returns the findings in order, such as "SP-0401 r1".
    fn found(&self, site: usize) -> Vec<String> {
        let findings = self.status(site).verdict.findings;
        let ids = findings.iter();
        let mut found: Vec<String> = ids.map(|it| format!("{} {}", it.id, it.node)).collect();
        found.sort();
        found
    }

    fn probe(&self, site: usize) -> (String, i32) {
        let (code, word) = self.pair.said(site, &["probe"]).unwrap_or_default();
        (word.trim().to_owned(), code)
    }

    /// Returns the headline of `sparectl status`, and the exit code.
    fn headline(&self, site: usize) -> (String, i32) {
        let (code, text) = self.pair.said(site, &["status"]).unwrap_or_default();
        (text.lines().next().unwrap_or_default().to_owned(), code)
    }

    fn is_said(&self, site: usize, struck: usize, report: ExpectedReport) -> bool {
        let Some((word, found)) = report else {
            // such a node is not queried, as that may take long: so no daemon may run there that can answer
            return !(self.lives(site) && self.can_answer(site));
        };
        let mut wanted: Vec<String> = found.iter().map(|it| it.of(struck, site)).collect();
        wanted.sort();
        self.found(site) == wanted && self.probe(site) == expected(word)
    }

    /// Checks the first line of the status, which is composed separately from the report of `probe`.
    fn is_shown(&self, site: usize, report: ExpectedReport, part: &str) -> bool {
        let Some((word, _)) = report else { return true };
        let (line, code) = self.headline(site);
        let first = line.split(' ').next().unwrap_or_default();
        first == word.word() && code == i32::from(word.exit_code()) && line.contains(part)
    }

    /// Returns true if the daemon runs, neither dead nor stopped.
    fn lives(&self, site: usize) -> bool {
        let daemons = self.pair.routers[site].daemons.iter().map(Daemon::pid);
        daemons
            .into_iter()
            .any(|pid| is_alive(pid) && !is_stopped(pid))
    }

    /// Returns true if the daemon may open one more descriptor, as for a client.
    fn can_answer(&self, site: usize) -> bool {
        let pid = self.pair.routers[site].daemons[0].pid();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let mut lines = limits.lines();
        let soft =
            lines.find_map(|it| it.strip_prefix("Max open files")?.split_whitespace().next());
        let soft: u32 = soft.and_then(|it| it.parse().ok()).unwrap_or(u32::MAX);
        (0..soft).any(|it| fs::symlink_metadata(format!("/proc/{pid}/fd/{it}")).is_err())
    }

    fn is_as_expected(&self, state: &State, struck: usize) -> bool {
        let is_right = |site| {
            let report = state.expected_report(struck, site);
            self.is_said(site, struck, report) && self.is_shown(site, report, state.headline)
        };
        (0..2).all(is_right) && state.mended.is_none_or(|is_mended| is_mended(self, struck))
    }

    /// Waits until both nodes report OK and r1 is active.
    pub fn wait_ok(&self) -> Result<()> {
        let is_ok = || (0..2).all(|site| self.is_said(site, 0, Some((Word::Ok, &[]))));
        if poll(LIMIT * 2, STEP, || is_ok() && self.pair.active() == [0]) {
            Ok(())
        } else {
            Err(format!("not OK:\n{}", self.both()).into())
        }
    }

    /// Returns the output of `sparectl status` on both nodes, for a failed test.
    fn both(&self) -> String {
        let mut text = String::new();
        for site in 0..2 {
            let (code, said) = self.pair.said(site, &["status"]).unwrap_or_default();
            let probe = self.probe(site);
            let found = self.found(site);
            let _ = writeln!(text, "r{}: {probe:?} {found:?}", site + 1);
            let _ = writeln!(text, "exit {code}\n{said}");
        }
        text
    }

    // ---- states

    /// Makes and repairs each state. The error has the reports of all that were not as expected.
    pub fn run(&mut self, states: &[&State]) -> Result<()> {
        let mut failed = String::new();
        for state in states {
            for struck in state.on.struck() {
                let began = Instant::now();
                let judged = self.judge(state, *struck);
                let (on, took) = (state.on.word(*struck), began.elapsed());
                println!("{on:>6}: {}: {took:.1?}", state.name);
                if let Err(why) = judged {
                    println!("{why}");
                    let _ = writeln!(failed, "{} ({on}): {why}", state.name);
                }
                self.wait_ok()
                    .map_err(|why| format!("{failed}after {} ({on}): {why}", state.name))?;
            }
        }
        match failed.as_str() {
            "" => Ok(()),
            _ => Err(failed.into()),
        }
    }

    fn judge(&mut self, state: &State, struck: usize) -> Result<()> {
        let made = (state.make)(self, struck);
        let judged = match made {
            Ok(()) if !self.settles(state, struck) => {
                let mended = state.mended.map(|is_mended| is_mended(self, struck));
                Err(format!("not as expected (mended: {mended:?}):\n{}", self.both()).into())
            }
            Ok(()) if state.expected_report(struck, 1).is_none() => Ok(()),
            Ok(()) => self.same_from_afar(),
            Err(why) => Err(why),
        };
        let fixed = (state.fix)(self, struck);
        self.running.clear();
        judged.and(fixed)
    }

    /// Waits until the expected report holds for a while: a role that moves because of the state may be seen meanwhile.
    fn settles(&self, state: &State, struck: usize) -> bool {
        let mut since = None;
        let holds = if state.is_quick && state.mended.is_none() {
            HOLDS
        } else {
            HOLDS * 5
        };
        poll(LIMIT, STEP, || {
            since = if self.is_as_expected(state, struck) {
                since.or_else(|| Some(Instant::now()))
            } else {
                None
            };
            since.is_some_and(|since| since.elapsed() >= holds)
        })
    }

    /// Checks that `--node r2` on r1 reports the same as r2 itself, if r2 can be asked.
    fn same_from_afar(&self) -> Result<()> {
        let is_up = || self.status(0).peer.is_some_and(|peer| peer.up);
        let said = |status: Status| {
            let ids = status.verdict.findings.into_iter();
            let ids: Vec<String> = ids.map(|it| it.id).collect();
            (status.verdict.word, ids)
        };
        let afar = || -> Result<_> {
            let (_, text) = self.pair.said(0, &["--json", "--node", "r2", "status"])?;
            Ok(said(serde_json::from_str(&text)?))
        };
        let own = || said(self.status(1));
        // a link that was cut silently is up until its session ends
        let is_same = || !is_up() || afar().is_ok_and(|afar| afar == own());
        if poll(LIMIT, STEP, is_same) {
            Ok(())
        } else {
            Err(format!("from afar {:?}, itself {:?}", afar()?, own()).into())
        }
    }

    // ---- tools for states

    pub fn site(&self, site: usize) -> &'l Site {
        self.pair.site(site)
    }

    /// Runs commands of `ip`, given without that word.
    pub fn ip(&self, site: usize, line: &str) -> Result<()> {
        self.site(site).ns.ip(&format!("{line}\n"))
    }

    pub fn nft(&self, site: usize, rules: &str) -> Result<()> {
        self.site(site).ns.nft(rules)
    }

    /// Runs `sparectl WORDS...`.
    pub fn tell(&self, site: usize, words: &[&str]) -> Result<()> {
        self.pair.done(site, words).map(drop)
    }

    /// Creates a file in the folder of a node's scripts.
    pub fn put(&self, site: usize, file: &str) -> Result<()> {
        Ok(fs::write(self.own(site).join(file), "")?)
    }

    pub fn take(&self, site: usize, file: &str) -> Result<()> {
        Ok(fs::remove_file(self.own(site).join(file))?)
    }

    pub fn own(&self, site: usize) -> PathBuf {
        self.folder.join(format!("r{}", site + 1))
    }

    pub fn etc(&self, site: usize) -> PathBuf {
        self.pair.routers[site].dir.join("etc")
    }

    /// Starts a program in a node's namespace, until the state is repaired.
    pub fn run_beside(&mut self, site: usize, argv: &[&str]) -> Result<()> {
        let mut command = self.site(site).ns.command(argv[0]);
        command.args(&argv[1..]);
        let log = self.pair.lab.dir.join("beside.log");
        self.running.push(Daemon::start("beside", command, &log)?);
        Ok(())
    }

    /// Replaces a plugin's file on a node and reloads, until [`Bed::restore`].
    pub fn reload_with(&mut self, site: usize, plugin: &str, toml: &str) -> Result<()> {
        let path = self.etc(site).join(format!("plugins/{plugin}.toml"));
        self.put_aside(path)?;
        let dir = self.pair.routers[site].dir.clone();
        Files { dir: &dir }.write_plugin(plugin, toml)?;
        self.tell(site, &["reload"])
    }

    /// Sets a node's clock, in seconds ahead of this machine's.
    pub fn set_clock(&mut self, site: usize, ahead_s: i64) -> Result<()> {
        self.pair.routers[site].set_clock(ahead_s)?;
        self.clocks[site] = (ahead_s, Instant::now());
        Ok(())
    }

    /// Keeps a file's content for [`Bed::restore`].
    pub fn put_aside(&mut self, path: PathBuf) -> Result<()> {
        let content = fs::read(&path)?;
        self.aside.push((path, content));
        Ok(())
    }

    /// Restores the files that were put aside.
    pub fn restore(&mut self) -> Result<()> {
        for (path, content) in self.aside.drain(..) {
            fs::write(path, content)?;
        }
        Ok(())
    }

    /// Kills a node and starts it again with its present files.
    pub fn restart(&mut self, site: usize) -> Result<()> {
        let place = self.site(site);
        let router = &mut self.pair.routers[site];
        router.kill();
        router.start_again(self.pair.lab, place, &self.pair.plans[site])
    }
}

/// Returns the expected output of `probe`, and its exit code.
fn expected(word: Word) -> (String, i32) {
    (word.probe_word().to_owned(), word.exit_code().into())
}
