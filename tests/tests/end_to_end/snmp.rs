// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's snmpd with the example file: rows of VRRPV3-MIB, and a trap for a router that became active.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Daemon, Lab, Site, Wire, build_dir, find_program, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, Spared};

const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(100);
const MIB: &str = ".1.3.6.1.2.1.207";
/// Columns of vrrpv3OperationsTable.
const OPERATIONS: &str = ".1.3.6.1.2.1.207.1.1.1.1";
const STATUS: u32 = 6;
const PRIORITY: u32 = 7;
const ADDRESS_COUNT: u32 = 8;
const NEW_MASTER: &str = ".1.3.6.1.2.1.207.0.1";
const MASTER: &str = "3";

/// snmpd of a node with the example's lines, and a station that writes down traps.
struct Agent<'l> {
    site: &'l Site,
    traps: std::path::PathBuf,
    _daemons: [Daemon; 2],
}

impl<'l> Agent<'l> {
    fn start(lab: &Lab, pair: &Linked<'l>, site: usize) -> Result<Self> {
        let node = pair.site(site);
        let dir = lab.dir.join(format!("snmp-{site}"));
        fs::create_dir_all(&dir)?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/snmpd.conf");
        let sparectl = format!(
            "{} --runtime-dir {} snmp",
            build_dir()?.join("sparectl").display(),
            Spared(&pair.routers[site]).runtime_dir().display()
        );
        let lines = fs::read_to_string(example)?
            .replace("/usr/bin/sparectl snmp", &sparectl)
            .replace("192.0.2.10", "127.0.0.1");
        assert!(lines.contains(&sparectl), "{lines}");
        let config = dir.join("snmpd.conf");
        let own = format!("agentAddress udp:127.0.0.1:161\nrocommunity public 127.0.0.1 {MIB}\n");
        fs::write(&config, own + &lines)?;
        let traps = dir.join("traps");
        let config_of_traps = dir.join("snmptrapd.conf");
        fs::write(&config_of_traps, "authCommunity log public\n")?;

        let start = |program: &str, words: &[&str]| -> Result<Daemon> {
            let mut command = node.ns.command(program);
            command.env("SNMP_PERSISTENT_DIR", &dir).env("MIBS", "");
            command.args(words);
            Daemon::start(&node.name, command, &dir.join(format!("{program}.log")))
        };
        let path = |it: &Path| it.display().to_string();
        let (config, config_of_traps) = (path(&config), path(&config_of_traps));
        let (log, pid) = (path(&traps), path(&dir.join("pid")));
        let words = ["-f", "-On", "-C", "-c", &config_of_traps, "-Lf", &log];
        let station = start("snmptrapd", &[&words[..], &["udp:127.0.0.1:162"]].concat())?;
        let words = ["-f", "-Lo", "-C", "-c", &config, "-p", &pid];
        let agent = start("snmpd", &words)?;
        Ok(Self {
            site: node,
            traps,
            _daemons: [station, agent],
        })
    }

    /// Rows of the tree, each an object identifier and its value.
    fn walk(&self, tree: &str) -> Result<Vec<(String, String)>> {
        let words = [
            "-v2c",
            "-cpublic",
            "-On",
            "-Oq",
            "-r0",
            "-t2",
            "127.0.0.1",
            tree,
        ];
        let mut command = self.site.ns.command("snmpwalk");
        let output = command
            .env("MIBS", "")
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().filter_map(|line| line.split_once(' '));
        Ok(rows
            .map(|(oid, value)| (oid.to_owned(), value.to_owned()))
            .collect())
    }

    fn column(&self, column: u32) -> Result<Vec<String>> {
        let rows = self.walk(&format!("{OPERATIONS}.{column}"))?;
        Ok(rows.into_iter().map(|(_, value)| value).collect())
    }

    /// Traps that announce a new master.
    fn announced(&self) -> Vec<String> {
        let told = fs::read_to_string(&self.traps).unwrap_or_default();
        let announced = told.lines().filter(|it| it.contains(NEW_MASTER));
        announced.map(str::to_owned).collect()
    }
}

#[test]
fn snmpd_tells_roles_and_sends_a_trap_for_a_new_master() {
    scenario(2, |lab| {
        for program in ["snmpd", "snmpwalk", "snmptrapd"] {
            if find_program(Path::new(program)).is_none() {
                return Err(skipped(format!("{program} is not installed")));
            }
        }
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        // the role stays where the switchover brings it: snmpd looks at it once a second
        plan.without_preference();
        let pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        let backup = 1 - active;
        let agents = [Agent::start(lab, &pair, 0)?, Agent::start(lab, &pair, 1)?];

        let is_master = |site: usize| {
            let states = agents[site].column(STATUS).unwrap_or_default();
            !states.is_empty() && states.iter().all(|it| it == MASTER)
        };
        pair.wait("the active node is master in the MIB", || is_master(active))?;
        let states = agents[backup].column(STATUS)?;
        assert!(
            states.iter().all(|it| it == "2") && states.len() == 2,
            "{states:?}"
        );
        let priorities = agents[active].column(PRIORITY)?;
        assert!(
            priorities
                .iter()
                .all(|it| it.parse().is_ok_and(|it: u8| it > 0)),
            "{priorities:?}"
        );
        assert_eq!(agents[active].column(ADDRESS_COUNT)?, ["1", "1"]);
        let all = agents[active].walk(MIB)?;
        assert!(all.len() > 20, "{all:?}");

        pair.switch(backup)?;
        pair.wait_active(backup)?;
        // one for each virtual router, with the node's own address there
        let host = 11 + u8::try_from(backup)?;
        let all = [1, 2].map(|network| {
            let own = Ipv4Addr::new(10, network, 0, host).octets();
            own.map(|it| format!("{it:02X}")).join(" ")
        });
        let told = poll(LIMIT, STEP, || {
            let announced = agents[backup].announced();
            all.iter()
                .all(|own| announced.iter().any(|it| it.contains(own)))
        });
        assert!(
            told && is_master(backup),
            "{:?}",
            fs::read_to_string(&agents[backup].traps)
        );
        Ok(())
    });
}
