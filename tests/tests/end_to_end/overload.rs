// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that has far too much to do, and then nothing any more: all comes back by itself.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::router::{Plan, PluginFile, Spared};

const BUSY: usize = 40;
const LOAD: Duration = Duration::from_secs(60);
/// After so much quiet nothing is left of it.
const QUIET: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// Processes that do nothing, as fast as they can.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Self> {
        let mut load = Self(Vec::new());
        for _ in 0..BUSY {
            let mut command = Command::new("sh");
            load.0
                .push(command.args(["-c", "while :; do :; done"]).spawn()?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(peer(""));
    plan.plugins.push(PluginFile {
        name: "conntrack".to_owned(),
        toml: String::new(),
        file: "libspared_conntrack.so".to_owned(),
    });
    plan
}

fn wait_ok(pair: &Linked) -> Result<()> {
    let is_ok = || {
        (0..2).all(|site| {
            let said = pair.said(site, &["probe"]).unwrap_or_default();
            said == (0, "ok\n".to_owned())
        })
    };
    match poll(QUIET, STEP, is_ok) {
        true => Ok(()),
        false => pair.wait("OK on both", is_ok),
    }
}

/// How often each plugin of a node was started again.
fn restarts(pair: &Linked, site: usize) -> Vec<(String, u64)> {
    let status = pair.status(site).unwrap_or_default();
    let plugins = status.plugins.into_iter();
    plugins.map(|it| (it.name, it.restarts)).collect()
}

#[test]
fn after_a_minute_of_forty_busy_processes_all_runs_again() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        wait_ok(&pair)?;
        let load = Load::start()?;
        thread::sleep(LOAD);
        drop(load);
        wait_ok(&pair)?;
        for site in 0..2 {
            let restarts = restarts(&pair, site);
            assert!(restarts.iter().all(|it| it.1 == 0), "{site}: {restarts:?}");
        }
        Ok(())
    });
}

/// Whatever it was that killed a plugin until it was given up: when that is over, so is all of it.
#[test]
fn a_plugin_that_was_given_up_is_back_in_sync_within_a_minute_of_quiet() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        wait_ok(&pair)?;
        let site = 1 - pair.at()?;
        let router = Spared(&pair.routers[site]);
        let plugin = || -> Result<_> {
            let mut plugins = router.status()?.plugins.into_iter();
            let found = plugins.find(|it| it.name == "messenger");
            Ok(found.ok_or("no messenger")?)
        };
        pair.wait("given up", || {
            let Ok(plugin) = plugin() else { return false };
            if let Some(pid) = plugin.pid {
                // it may have ended by itself
                let _ = signal_to(pid, Signal::KILL);
            }
            plugin.state == "failed"
        })?;
        let (code, word) = pair.said(1 - site, &["probe"])?;
        assert_eq!((code, word.as_str()), (1, "degraded\n"));
        wait_ok(&pair)
    });
}
