// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl snmp` and the snmpd.conf of docs/examples in Debian's snmpd: the rows of VRRPV3-MIB are those of the nodes,
//! and snmptrapd gets both traps.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dashboard::example;
use spared_tests::lab::{Daemon, EYE, Lab, Site, Wire, build_dir, find_program, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Injector, ethernet, ipv4};
use spared_tests::router::{Plan, Spared};

const LIMIT: Duration = Duration::from_secs(20);
const MIB: &str = ".1.3.6.1.2.1.207";
/// Columns of vrrpv3OperationsTable and vrrpv3StatisticsTable, and the first number of the global counters.
const OPERATIONS: &str = ".1.3.6.1.2.1.207.1.1.1.1";
const STATISTICS: &str = ".1.3.6.1.2.1.207.1.2.5.1";
const CHECKSUM_ERRORS: &str = ".1.3.6.1.2.1.207.1.2.1.0";
const NEW_MASTER: &str = ".1.3.6.1.2.1.207.0.1";
const PROTO_ERROR: &str = ".1.3.6.1.2.1.207.0.2";
const INTERFACE_NAMES: &str = ".1.3.6.1.2.1.2.2.1.2";

/// snmpd and snmptrapd of a node.
struct Snmp<'l> {
    site: &'l Site,
    dir: std::path::PathBuf,
    _agent: Daemon,
    traps: Daemon,
}

impl<'l> Snmp<'l> {
    /// Starts both with the example, changed only where it names this machine's files and stations.
    fn start(lab: &Lab, pair: &Linked<'l>, site: usize) -> Result<Self> {
        let dir = lab.dir.join(format!("snmp{site}"));
        fs::create_dir_all(&dir)?;
        let run = Spared(&pair.routers[site]).runtime_dir();
        let program = build_dir()?.join("sparectl");
        let words = format!("{} --runtime-dir {} snmp", program.display(), run.display());
        let config = fs::read_to_string(example("snmpd.conf"))?;
        for part in ["/usr/bin/sparectl snmp", "192.0.2.10"] {
            assert!(config.contains(part), "no {part} in {config}");
        }
        let config = config.replace("/usr/bin/sparectl snmp", &words);
        let config = config.replace("192.0.2.10", "127.0.0.1");
        let open = "agentaddress udp:127.0.0.1:161\nrocommunity public 127.0.0.1\n";
        fs::write(dir.join("snmpd.conf"), open.to_owned() + &config)?;
        fs::write(dir.join("traps.conf"), "disableAuthorization yes\n")?;
        let place = pair.site(site);
        let start = |name: &str, words: &[&str]| {
            let mut command = quiet(place.ns.command(name), &dir);
            command.args(["-f", "-Lo", "-C", "-On"]).args(words);
            Daemon::start(name, command, &dir.join(format!("{name}.log")))
        };
        let at = |name: &str| dir.join(name).display().to_string();
        let port = "udp:127.0.0.1:162";
        let (traps, config) = (at("traps.conf"), at("snmpd.conf"));
        Ok(Self {
            site: place,
            traps: start("snmptrapd", &["-c", &traps, "-p", &at("traps.pid"), port])?,
            _agent: start("snmpd", &["-c", &config, "-p", &at("snmpd.pid"), "-r"])?,
            dir,
        })
    }

    /// Exit status and output of a program of net-snmp.
    fn ask(&self, program: &str, words: &[&str]) -> Result<(bool, String)> {
        let mut command = quiet(self.site.ns.command(program), &self.dir);
        command.args(["-v2c", "-c", "public", "-Onqe", "-r1", "127.0.0.1"]);
        let output = command.args(words).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.success(), text))
    }

    /// All instances below an object. snmpwalk itself refuses those that are not in order.
    fn walk(&self, program: &str, object: &str) -> Result<BTreeMap<String, String>> {
        let (success, text) = self.ask(program, &[object])?;
        assert!(success, "{program}: {text}");
        let rows = text.lines().filter_map(|line| line.split_once(' '));
        Ok(rows
            .map(|(oid, value)| (oid.to_owned(), value.trim().to_owned()))
            .collect())
    }

    /// Number of the interface, as snmpd has it.
    fn index(&self, interface: &str) -> Result<String> {
        let names = self.walk("snmpwalk", INTERFACE_NAMES)?;
        let found = names.iter().find(|it| it.1.trim_matches('"') == interface);
        let found = found.and_then(|it| it.0.rsplit('.').next());
        Ok(found.ok_or(format!("{interface}: {names:?}"))?.to_owned())
    }

    /// Waits for a trap with this text, and returns its line.
    fn trap(&self, trap: &str, text: &str) -> Result<String> {
        let mut line = None;
        poll(LIMIT, INTERVAL, || {
            let log = self.traps.log();
            let is_it = |it: &&str| it.contains(&format!("OID: {trap}\t")) && it.contains(text);
            line = log.lines().find(is_it).map(str::to_owned);
            line.is_some()
        });
        Ok(line.ok_or_else(|| format!("no {trap}: {}", self.traps.log()))?)
    }
}

// Neither the MIBs nor the persistent files of this machine.
fn quiet(mut command: Command, dir: &Path) -> Command {
    command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", dir);
    command
}

/// An advert with a wrong checksum.
fn wrong_checksum() -> Vec<u8> {
    let [a, b, c, d] = Wire::Lan.ipv4(1).octets();
    let message = [0x31, 51, 100, 1, 0, 10, 0xab, 0xcd, a, b, c, d];
    let (from, to) = (Wire::Lan.ipv4(EYE), Ipv4Addr::new(224, 0, 0, 18));
    let packet = ipv4(from, to, 112, 255, &message);
    ethernet([1, 0, 0x5e, 0, 0, 18], Wire::Lan.mac(EYE), 0x0800, &packet)
}

#[test]
fn snmpd_has_the_rows_of_both_nodes_and_sends_a_trap_when_one_becomes_active() {
    scenario(2, |lab| {
        for program in ["snmpd", "snmptrapd", "snmpbulkwalk"] {
            if find_program(Path::new(program)).is_none() {
                return Err(skipped(format!("{program} is not installed")));
            }
        }
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let mut pair = Linked::start(lab, &plan)?;
        let active = pair.at()?;
        let backup = 1 - active;
        let nodes = [active, backup].map(|site| Snmp::start(lab, &pair, site));
        let [here, there] = nodes;
        let (here, there) = (here?, there?);
        for node in [&here, &there] {
            let ready = || node.ask("snmpget", &[CHECKSUM_ERRORS]).is_ok_and(|it| it.0);
            assert!(
                poll(LIMIT, INTERVAL, ready),
                "{:?}",
                node.walk("snmpwalk", MIB)
            );
        }

        let status = pair.status(active)?;
        let group = status.groups.first().ok_or("no group")?;
        let router = group.details.keys().find_map(|key| {
            let place = key.strip_prefix("virtual_router.lan.")?;
            place.strip_suffix(".IPv4.source")
        });
        let vrid: u8 = router.ok_or("no virtual router")?.parse()?;
        for (node, role, site) in [(&here, "3", active), (&there, "2", backup)] {
            let rows = node.walk("snmpwalk", MIB)?;
            let bulk = node.walk("snmpbulkwalk", MIB)?;
            assert!(rows.keys().eq(bulk.keys()), "{rows:?}\n{bulk:?}");
            let index = format!("{}.{vrid}.1", node.index(Wire::Lan.name())?);
            let of = |table: &str, column: u8| {
                let oid = format!("{table}.{column}.{index}");
                rows.get(&oid)
                    .cloned()
                    .unwrap_or_else(|| panic!("no {oid}: {rows:?}"))
            };
            assert_eq!(of(OPERATIONS, 6), role);
            let own = hex(&Wire::Lan.ipv4(pair.site(site).host()).octets());
            let of_active = hex(&Wire::Lan.ipv4(pair.site(active).host()).octets());
            assert_eq!([of(OPERATIONS, 3), of(OPERATIONS, 4)], [of_active, own]);
            assert_eq!(of(OPERATIONS, 5), hex(&[0, 0, 0x5e, 0, 1, vrid]));
            let addresses = format!("{MIB}.1.1.2.1.2.{index}.4.");
            let addresses = rows.keys().filter(|it| it.starts_with(&addresses));
            assert_eq!(of(OPERATIONS, 8), addresses.count().to_string());
            assert_ne!(of(OPERATIONS, 8), "0");
            // NewMasterReason
            assert_eq!(of(STATISTICS, 2) == "0", role == "2");
            let (success, said) =
                node.ask("snmpset", &[&format!("{OPERATIONS}.7.{index}"), "u", "3"])?;
            assert!(!success, "{said}");
        }

        let injector = Injector::new(&lab.eye, Wire::Lan.name())?;
        injector.send(&wrong_checksum())?;
        let trap = there.trap(PROTO_ERROR, "")?;
        assert!(trap.contains("INTEGER: 3"), "checksumError: {trap}");
        let counted = || there.ask("snmpget", &[CHECKSUM_ERRORS]);
        let (_, text) = counted()?;
        assert!(text.trim_end().ends_with(" 1"), "{text}");

        assert!(
            !there.traps.log().contains(NEW_MASTER),
            "{}",
            there.traps.log()
        );
        let instance = format!(
            "{OPERATIONS}.3.{}.{vrid}.1 ",
            there.index(Wire::Lan.name())?
        );
        pair.strike(Fault::Kill)?;
        let trap = there.trap(NEW_MASTER, &instance)?;
        let own = hex(&Wire::Lan.ipv4(pair.site(backup).host()).octets()).replace('"', "");
        assert!(trap.contains(&own) && trap.contains("INTEGER: 3"), "{trap}");
        // the daemon that died has no rows, and its snmpd goes on
        let gone = || {
            here.ask("snmpget", &[CHECKSUM_ERRORS])
                .is_ok_and(|it| it.1.contains("No Such"))
        };
        assert!(poll(LIMIT, INTERVAL, gone));
        Ok(())
    });
}

/// Octets as the programs of net-snmp print them.
fn hex(octets: &[u8]) -> String {
    let octets: Vec<String> = octets.iter().map(|it| format!("{it:02X}")).collect();
    format!("\"{} \"", octets.join(" "))
}
