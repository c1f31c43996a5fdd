// SPDX-License-Identifier: MIT OR Apache-2.0
//! Migrations from the real keepalived by `sparectl import` and the steps that it prints: one change of roles, and hardly
//! a packet is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Daemon, Lab, Site, Wire, build_dir, find_program, scenario, skipped};
use spared_tests::probe::Echo;
use spared_tests::router::Files;

const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(50);
/// Longest time without service in all.
const OUTAGE_MAX: Duration = Duration::from_millis(300);
const GATEWAY: &str = "10.1.0.1";

/// A router with keepalived, and then with spared.
struct Node<'l> {
    site: &'l Site,
    dir: PathBuf,
}

impl<'l> Node<'l> {
    fn new(lab: &Lab, site: &'l Site, text: &str) -> Result<Self> {
        let dir = lab.dir.join(format!("{}-imported", site.name));
        fs::create_dir_all(dir.join("run"))?;
        fs::create_dir_all(dir.join("etc"))?;
        fs::write(dir.join("keepalived.conf"), text)?;
        let node = Self { site, dir };
        for plugin in ["vrrp", "health", "service"] {
            let library = build_dir()?.join(format!("libspared_{plugin}.so"));
            node.files().install_plugin(plugin, &library)?;
        }
        fs::write(
            node.dir.join("etc/spared.toml"),
            format!("node.name = \"{}\"\n", site.name),
        )?;
        Ok(node)
    }

    fn files(&self) -> Files<'_> {
        Files { dir: &self.dir }
    }

    fn keepalived(&self) -> Result<Daemon> {
        if find_program(Path::new("keepalived")).is_none() {
            return Err(skipped("keepalived is not installed"));
        }
        let mut command = self.site.ns.command("keepalived");
        command.args([
            "--dont-fork",
            "--log-console",
            "--log-detail",
            "--vrrp",
            "--no-syslog",
        ]);
        command.arg("--config-id").arg(&self.site.name);
        command
            .arg("--use-file")
            .arg(self.dir.join("keepalived.conf"));
        command.arg("--pid").arg(self.dir.join("keepalived.pid"));
        command.arg("--vrrp_pid").arg(self.dir.join("vrrp.pid"));
        let name = format!("{} keepalived", self.site.name);
        Daemon::start(&name, command, &self.dir.join("keepalived.log"))
    }

    fn spared(&self) -> Result<Daemon> {
        let mut command = self.site.ns.command(build_dir()?.join("spared"));
        command.args(self.files().words(&self.dir.join("run")));
        command.env("STATE_DIRECTORY", self.dir.join("state"));
        let name = format!("{} spared", self.site.name);
        Daemon::start(&name, command, &self.dir.join("log"))
    }

    fn sparectl(&self, words: &[&str]) -> Result<Output> {
        let mut command: Command = self.site.ns.command(build_dir()?.join("sparectl"));
        command.env("STATE_DIRECTORY", self.dir.join("state"));
        command
            .arg("--runtime-dir")
            .arg(self.dir.join("run"))
            .args(words);
        if words.first() == Some(&"import") {
            command
                .arg("--config")
                .arg(self.dir.join("etc/spared.toml"));
            command.arg("--plugin-dir").arg(self.dir.join("plugins"));
        }
        Ok(command.output()?)
    }

    fn done(&self, words: &[&str]) -> Result<String> {
        let output = self.sparectl(words)?;
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("sparectl {}: {text}", words.join(" ")).into())
        }
    }

    fn wait_status(&self, wanted: &str) -> Result<()> {
        let mut last = String::new();
        let is_there = || {
            let output = self.sparectl(&["status"]).map(|it| it.stdout);
            last = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
            last.contains(wanted)
        };
        if poll(LIMIT, STEP, is_there) {
            Ok(())
        } else {
            Err(format!("{} does not say {wanted}: {last}", self.site.name).into())
        }
    }
}

fn wait_holder(lab: &Lab, site: usize) -> Result<()> {
    if poll(LIMIT, STEP, || lab.holders(GATEWAY) == [site]) {
        Ok(())
    } else {
        Err(format!(
            "{GATEWAY} is on {:?}, not on {site} alone",
            lab.holders(GATEWAY)
        )
        .into())
    }
}

/// The steps that import prints, from two nodes with keepalived to two nodes with spared. r1 is active at first.
fn migrate(lab: &Lab, texts: [&str; 2]) -> Result<()> {
    let [r1, r2] = [0, 1].map(|it| Node::new(lab, &lab.sites[it], texts[it]));
    let (r1, r2) = (r1?, r2?);
    let mut old = r1.keepalived()?;
    wait_holder(lab, 0)?;
    let mut old_backup = r2.keepalived()?;
    let echo = Echo::through(lab)?;
    if !poll(LIMIT, STEP, || echo.is_steady(Duration::from_secs(1))) {
        return Err("keepalived's nodes do not forward".into());
    }
    let began = Stamp::now();
    let [own, peer] = [&r2, &r1].map(|it| it.dir.join("keepalived.conf").display().to_string());
    let mut words = vec!["import", own.as_str(), "--yes", "--id", "r2", "--id", "r1"];
    if texts[0] != texts[1] {
        words.extend(["--peer", peer.as_str()]);
    }
    let said = r2.done(&words)?;
    assert!(said.contains("the migration:"), "{said}");
    old_backup.terminate(LIMIT)?;
    let _new_backup = r2.spared()?;
    r2.wait_status("r2 stands by")?;
    r2.done(&["force", "active"])?;
    wait_holder(lab, 1)?;
    old.terminate(LIMIT)?;
    for part in ["plugins", "hooks"] {
        let from = r2.dir.join("etc").join(part);
        if from.exists() {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(&from)
                .arg(r1.dir.join("etc"))
                .status()?;
            assert!(copied.success(), "{part} is not copied");
        }
    }
    let host = fs::read_to_string(r2.dir.join("etc/spared.toml"))?;
    fs::write(
        r1.dir.join("etc/spared.toml"),
        host.replace("node.name = \"r2\"", "node.name = \"r1\""),
    )?;
    let _new = r1.spared()?;
    r1.wait_status("r1 stands by")?;
    r2.done(&["force", "reset"])?;
    std::thread::sleep(Duration::from_secs(5));
    wait_holder(lab, 1)?;
    let now = Stamp::now();
    let outage = echo.outage(began, Stamp(now.0 - 100_000_000));
    assert!(outage.total <= OUTAGE_MAX, "{outage:?}");
    // each group has moved once, to r2
    let groups = fs::read_to_string(r2.dir.join("etc/plugins/vrrp.toml"))?;
    let groups = groups.matches("[[group]]").count();
    for (node, name, changes) in [(&r2, " r2 ", groups), (&r1, " r1 ", 0)] {
        let history = node.done(&["history"])?;
        let became = history
            .lines()
            .filter(|it| it.contains(name) && it.contains("-> active"));
        assert_eq!(became.count(), changes, "{history}");
    }
    Ok(())
}

/// A router of both networks with two instances, one by one or in a group, and these lines in each.
fn gateway(priority: u8, is_grouped: bool, lines: &str) -> String {
    let mut text = String::new();
    if is_grouped {
        text += "vrrp_sync_group office { group { lan wan } }\n";
    }
    for (wire, vrid) in [(Wire::Lan, 50), (Wire::Wan, 51)] {
        let (name, address) = (wire.name(), wire.ipv4(1));
        text += &format!(
            "vrrp_instance {name} {{\n    interface {name}\n    virtual_router_id {vrid}\n    priority {priority}\n    \
             advert_int 1\n{}    virtual_ipaddress {{\n        {address}/24\n    }}\n}}\n",
            lines
                .replace(
                    "OWN",
                    &wire.ipv4(if priority > 150 { 11 } else { 12 }).to_string()
                )
                .replace(
                    "OTHER",
                    &wire.ipv4(if priority > 150 { 12 } else { 11 }).to_string()
                )
        );
    }
    text
}

fn migration(text: impl Fn(u8) -> String) {
    scenario(2, |lab| migrate(lab, [&text(200), &text(100)]));
}

#[test]
fn a_sync_group() {
    migration(|priority| gateway(priority, true, ""));
}

#[test]
fn two_instances_with_passwords_and_labels() {
    migration(|priority| {
        let text = gateway(
            priority,
            false,
            "    authentication {\n        auth_type PASS\n        auth_pass secret12\n    }\n",
        );
        text.replace("10.1.0.1/24", "10.1.0.1/24 dev lan label lan:gw")
    });
}

#[test]
fn version_3_with_short_intervals() {
    migration(|priority| {
        let text = gateway(priority, true, "").replace("advert_int 1", "advert_int 0.2");
        format!("global_defs {{\n    vrrp_version 3\n    router_id r\n}}\n{text}")
    });
}

#[test]
fn unicast() {
    migration(|priority| {
        gateway(
            priority,
            true,
            "    unicast_src_ip OWN\n    unicast_peer {\n        OTHER\n    }\n",
        )
    });
}

#[test]
fn virtual_macs() {
    migration(|priority| gateway(priority, true, "    use_vmac\n"));
}

#[test]
fn without_preemption() {
    migration(|priority| gateway(priority, true, "    state BACKUP\n    nopreempt\n"));
}

#[test]
fn tracked_scripts_interfaces_and_rules() {
    migration(|priority| {
        // a rule follows one group
        let other = (
            "from 10.99.0.0/16 table 99 preference 500",
            "from 10.98.0.0/16 table 98 preference 501",
        );
        let lines = "    track_script {\n        alive weight -20\n    }\n    track_interface {\n        hot weight 10\n    }\n    \
                     virtual_rules {\n        from 10.99.0.0/16 table 99 preference 500\n    }\n";
        format!(
            "vrrp_script alive {{\n    script \"/bin/true\"\n    interval 1\n    weight -20\n}}\n{}",
            gateway(priority, false, lines).replacen(other.0, other.1, 1)
        )
    });
}

#[test]
fn one_file_with_lines_for_each_node_and_notify_scripts() {
    scenario(2, |lab| {
        let log = lab.dir.join("notified");
        let script = lab.dir.join("notify.sh");
        fs::write(
            &script,
            format!("#!/bin/sh\necho \"$@\" >>{}\n", log.display()),
        )?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let notify = format!(
            "    notify_master \"{} master 'of two'\"\n    notify {}\n",
            script.display(),
            script.display()
        );
        let text = gateway(200, true, "").replace(
            "    priority 200\n",
            "    @r1 priority 200\n    @r2 priority 100\n",
        );
        let text = text.replacen(
            "vrrp_sync_group office {",
            &format!("vrrp_sync_group office {{\n{notify}"),
            1,
        );
        migrate(lab, [&text, &text])?;
        let said = fs::read_to_string(&log)?;
        for line in ["master of two\n", "GROUP office MASTER "] {
            assert!(said.contains(line), "{line}: {said}");
        }
        Ok(())
    });
}
