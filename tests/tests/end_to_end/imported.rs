// SPDX-License-Identifier: MIT OR Apache-2.0
//! Migrations from the real keepalived by `sparectl import` and the steps that it prints: one change of roles, and hardly
//! a packet is lost.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::conntrackd::{Conntrackd, Options};
use spared_tests::flows::{Ends, Transfer};
use spared_tests::lab::{
    CLIENT, Daemon, Lab, Site, Wire, build_dir, find_program, scenario, skipped,
};
use spared_tests::probe::Echo;
use spared_tests::router::Ruleset;

use crate::paired::{Node, Offer, join, said};

const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);
/// Longest time without service in all.
const OUTAGE_MAX: Duration = Duration::from_millis(300);
const GATEWAY: &str = "10.1.0.1";

/// A router with keepalived, and then with spared.
pub fn router<'l>(lab: &Lab, site: &'l Site, text: &str) -> Result<Node<'l>> {
    let dir = lab.dir.join(format!("{}-imported", site.name));
    let node = Node::in_folder(dir, site, &site.name)?;
    fs::write(node.dir.join("keepalived.conf"), text)?;
    for plugin in ["conntrack", "health", "service"] {
        let library = build_dir()?.join(format!("libspared_{plugin}.so"));
        node.files().install_plugin(plugin, &library)?;
    }
    Ok(node)
}

pub fn keepalived(node: &Node<'_>) -> Result<Daemon> {
    if find_program(Path::new("keepalived")).is_none() {
        return Err(skipped("keepalived is not installed"));
    }
    let mut command = node.site.ns.command("keepalived");
    command.args([
        "--dont-fork",
        "--log-console",
        "--log-detail",
        "--vrrp",
        "--no-syslog",
    ]);
    command.arg("--config-id").arg(&node.site.name);
    command
        .arg("--use-file")
        .arg(node.dir.join("keepalived.conf"));
    command.arg("--pid").arg(node.dir.join("keepalived.pid"));
    command.arg("--vrrp_pid").arg(node.dir.join("vrrp.pid"));
    let name = format!("{} keepalived", node.site.name);
    Daemon::start(&name, command, &node.dir.join("keepalived.log"))
}

fn done(node: &Node<'_>, words: &[&str]) -> Result<String> {
    let output = node.sparectl(words)?.output()?;
    let text = said(&output);
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("sparectl {}: {text}", words.join(" ")).into())
    }
}

fn wait_status(node: &Node<'_>, wanted: &str) -> Result<()> {
    let is_there = || node.status().is_ok_and(|it| it.contains(wanted));
    if poll(LIMIT, STEP, is_there) {
        return Ok(());
    }
    let last = node.status()?;
    Err(format!("{} does not say {wanted}: {last}", node.site.name).into())
}

pub fn wait_holder(lab: &Lab, site: usize) -> Result<()> {
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

/// A step as import prints it: what it is for, and its commands.
struct Step {
    what: String,
    commands: Vec<String>,
}

/// The steps below the line that announces them.
fn steps(said: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let lines = said
        .lines()
        .skip_while(|it| !it.starts_with("the migration"));
    for line in lines {
        let number = line.trim_start().split_once(". ").filter(|it| {
            let is_number = it.0.parse::<u32>().is_ok();
            is_number && !line.starts_with("     ")
        });
        if let Some((_, what)) = number {
            found.push(Step {
                what: what.to_owned(),
                commands: Vec::new(),
            });
        } else if let (Some(command), Some(step)) =
            (line.strip_prefix("         "), found.last_mut())
        {
            step.commands.push(command.to_owned());
        }
    }
    found
}

/// Both routers while somebody follows the steps.
struct Migration<'l> {
    lab: &'l Lab,
    /// r1, which is active at first, and r2.
    nodes: [Node<'l>; 2],
    keepalived: [Option<Daemon>; 2],
    /// Their conntrackd, if they have it.
    conntrackd: Vec<Option<Conntrackd>>,
    spared: [Option<Daemon>; 2],
}

impl Migration<'_> {
    /// Types a command of the steps on a node.
    fn run(&mut self, node: usize, command: &str) -> Result<()> {
        let here = &self.nodes[node];
        match command {
            "systemctl disable --now keepalived" => {
                let mut old = self.keepalived[node].take().ok_or("keepalived runs")?;
                old.terminate(LIMIT).map(drop)
            }
            "systemctl disable --now conntrackd" => {
                let old = self.conntrackd.get_mut(node).and_then(Option::take);
                old.ok_or("conntrackd runs")?.stop()
            }
            "systemctl enable --now spared" => {
                self.spared[node] = Some(here.start()?);
                Ok(())
            }
            "sparectl reload" => {
                // systemctl has waited for it
                let answers = || done(here, &["probe", "--live"]).is_ok();
                assert!(
                    poll(LIMIT, STEP, answers),
                    "{} does not run",
                    here.site.name
                );
                done(here, &["reload"]).map(drop)
            }
            "sparectl status" => wait_status(here, &format!("{} stands by", here.site.name)),
            "sparectl pair" => self.pair(&[]),
            "sparectl pair --interface hot" => self.pair(&["--interface", "hot"]),
            _ if command.starts_with("apt install") => Ok(()),
            _ if command.starts_with("rsync") => self.copy(node),
            _ if command.starts_with("ip -br address") => {
                // r2 has the role from its first look on
                let is_right = || {
                    let mut shell = here.site.ns.command("sh");
                    let shown = shell.args(["-c", command]).output();
                    shown.is_ok_and(|it| said(&it).is_empty() == (node == 0))
                };
                assert!(poll(LIMIT, STEP, is_right), "{}: {command}", here.site.name);
                Ok(())
            }
            _ => {
                let command = command.replace("--link IF", "--link hot");
                let command = command.replace("/LEN", "/24");
                let command = command.replace("sparectl init", "sparectl init --yes");
                let command = command.replace("import --both", "import --both --yes");
                let words: Vec<&str> = command.split(' ').collect();
                assert_eq!(words[0], "sparectl", "{command}");
                done(here, &words[1..]).map(drop)
            }
        }
    }

    /// Changes keepalived's priorities as the lines of a step say, the backup's first, and reloads it on both nodes.
    fn edit(&self, step: &Step) -> Result<()> {
        for line in step.commands.iter().filter(|it| it.starts_with("# ")) {
            let node = usize::from(line.starts_with("# r2: "));
            let quoted: Vec<&str> = line.split('`').collect();
            let (new, old) = (quoted[1], line.rsplit(' ').next().unwrap_or_default());
            let file = self.nodes[node].dir.join("keepalived.conf");
            let text = fs::read_to_string(&file)?;
            let changed = text.replacen(&format!("priority {old}"), new, 1);
            assert_ne!(text, changed, "{line}");
            fs::write(file, changed)?;
        }
        let last = step.commands.last().map(String::as_str);
        assert_eq!(last, Some("systemctl reload keepalived"));
        for daemon in self.keepalived.iter().rev().flatten() {
            daemon.signal(Signal::HUP)?;
        }
        // until both have read it
        std::thread::sleep(Duration::from_secs(2));
        wait_holder(self.lab, 0)
    }

    /// Copies r2's files to r1, as rsync does without the key.
    fn copy(&self, node: usize) -> Result<()> {
        let [to, from] = &self.nodes;
        assert_eq!(node, 0, "only r1 gets files");
        for part in ["plugins", "hooks"] {
            let from = from.dir.join("etc").join(part);
            if from.exists() {
                let mut command = Command::new("cp");
                command.arg("-a").arg(&from).arg(to.dir.join("etc"));
                assert!(command.status()?.success(), "{part} is not copied");
            }
        }
        let host = from.read("spared.toml")?;
        to.write(
            "spared.toml",
            &host.replace("name = \"r2\"", "name = \"r1\""),
        )
    }

    fn pair(&self, words: &[&str]) -> Result<()> {
        let [r1, r2] = &self.nodes;
        let words = [words, &["--yes"]].concat();
        let offer = Offer::start(r2, &words)?;
        let (joined, text) = join(r1, &offer.code, &words)?;
        assert!(joined, "{text}");
        let (offered, of_first) = offer.end()?;
        assert!(offered, "{text}\n{of_first}");
        Ok(())
    }

    /// Types what the steps have, on the node that each names.
    fn follow(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            let node = usize::from(step.what.starts_with("on r2"));
            for command in &step.commands {
                self.run(node, command)
                    .map_err(|error| format!("{}: {command}: {error}", step.what))?;
            }
            if step.what.contains("take the role") {
                wait_holder(self.lab, 1)?;
            }
        }
        Ok(())
    }
}

/// Follows the steps that import prints, from two nodes with keepalived to two with spared, and to the pair if
/// `is_whole`. r1 is active at first.
fn migrate(lab: &Lab, texts: [&str; 2], is_whole: bool) -> Result<()> {
    migrate_with(lab, texts, Vec::new(), is_whole)
}

fn migrate_with(
    lab: &Lab,
    texts: [&str; 2],
    daemons: Vec<Conntrackd>,
    is_whole: bool,
) -> Result<()> {
    let nodes = [
        router(lab, &lab.sites[0], texts[0])?,
        router(lab, &lab.sites[1], texts[1])?,
    ];
    let old = keepalived(&nodes[0])?;
    wait_holder(lab, 0)?;
    let old_backup = keepalived(&nodes[1])?;
    let echo = Echo::through(lab)?;
    if !poll(LIMIT, STEP, || echo.is_steady(Duration::from_secs(1))) {
        return Err("keepalived's nodes do not forward".into());
    }
    let server = (Wire::Wan.ipv4(CLIENT), 80).into();
    let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), 100_000)?;
    let began = Stamp::now();
    let [own, peer] = [1, 0].map(|it: usize| nodes[it].dir.join("keepalived.conf"));
    let [own, peer] = [own, peer].map(|it| it.display().to_string());
    let mut words = vec!["import", own.as_str()];
    let conntrackd = lab.dir.join("r2-conntrackd/conntrackd.conf");
    let conntrackd = (!daemons.is_empty()).then(|| conntrackd.display().to_string());
    words.extend(conntrackd.as_deref());
    words.extend(["--yes", "--id", "r2", "--id", "r1"]);
    if texts[0] != texts[1] {
        words.extend(["--peer", peer.as_str()]);
    }
    let said = done(&nodes[1], &words)?;
    let steps = steps(&said);
    let place = |words: &str| steps.iter().position(|it| it.what.contains(words));
    let begin = place("in place of keepalived").ok_or("a step that begins")?;
    let pair = place("files of two nodes").ok_or("a step of both")?;
    assert!(
        steps[begin].what.starts_with("on r2"),
        "r2 is backup: {said}"
    );
    let mut migration = Migration {
        lab,
        nodes,
        keepalived: [Some(old), Some(old_backup)],
        conntrackd: daemons.into_iter().map(Some).collect(),
        spared: [None, None],
    };
    if let Some(edit) = place("change keepalived.conf") {
        migration.edit(&steps[edit])?;
    }
    migration.follow(&steps[begin..pair])?;
    std::thread::sleep(Duration::from_secs(5));
    wait_holder(lab, 1)?;
    check_outage(&echo, began);
    // each group has moved once, to r2
    let groups = migration.nodes[1].read("plugins/vrrp.toml")?;
    let groups = groups.matches("[[group]]").count();
    for (node, name, changes) in [(1, " r2 ", groups), (0, " r1 ", 0)] {
        let history = done(&migration.nodes[node], &["history"])?;
        let became = history
            .lines()
            .filter(|it| it.contains(name) && it.contains("-> active"));
        assert_eq!(became.count(), changes, "{history}");
    }
    if is_whole {
        let arm = place("let both be active").ok_or("a step that arms")?;
        migration.follow(&steps[pair..arm])?;
        become_a_pair(&migration, &said)?;
        // the role has gone back to the preferred node
        std::thread::sleep(Duration::from_secs(1));
        check_outage(&echo, began);
    }
    transfer.wait_moves(LIMIT)?;
    transfer.finish(LIMIT)
}

fn check_outage(echo: &Echo, began: Stamp) {
    let outage = echo.outage(began, Stamp(Stamp::now().0 - 100_000_000));
    assert!(outage.total <= OUTAGE_MAX, "{outage:?}");
}

/// The last steps: both nodes are armed, and the role goes back to a node that is preferred.
fn become_a_pair(migration: &Migration<'_>, said: &str) -> Result<()> {
    let [r1, r2] = &migration.nodes;
    for (name, holds) in [
        ("prefer =", said.contains("is preferred")),
        ("priority", false),
    ] {
        let text = r2.read("plugins/vrrp.toml")?;
        assert_eq!(text.contains(name), holds, "{text}");
        assert_eq!(r1.read("plugins/vrrp.toml")?, text);
    }
    wait_status(r1, "not armed")?;
    done(r1, &["arm"])?;
    for node in [r1, r2] {
        wait_status(node, "A failover now would lose nothing")?;
    }
    let holder = usize::from(!said.contains("is preferred"));
    wait_holder(migration.lab, holder)
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

fn migration(is_whole: bool, text: impl Fn(u8) -> String) {
    scenario(2, |lab| migrate(lab, [&text(200), &text(100)], is_whole));
}

#[test]
fn a_sync_group() {
    migration(true, |priority| {
        gateway(priority, true, "    preempt_delay 3\n")
    });
}

#[test]
fn two_instances_with_passwords_and_labels() {
    migration(false, |priority| {
        let text = gateway(
            priority,
            false,
            "    authentication {\n        auth_type PASS\n        auth_pass secret12\n    }\n",
        );
        text.replace("10.1.0.1/24", "10.1.0.1/24 dev lan label lan:gw")
    });
}

/// keepalived has version 2 for IPv4 and 3 for IPv6, also in one sync group: so has the group, from the first step to the pair.
#[test]
fn both_families_in_one_sync_group() {
    migration(true, |priority| {
        let six = format!(
            "vrrp_instance six {{\n    interface lan\n    virtual_router_id 50\n    priority {priority}\n    advert_int 1\n    \
             virtual_ipaddress {{\n        fe80::50/64\n        2001:db8:1::1/64\n    }}\n}}\n"
        );
        gateway(priority, true, "").replace("group { lan wan }", "group { lan wan six }") + &six
    });
}

#[test]
fn version_3_with_short_intervals() {
    migration(false, |priority| {
        let text = gateway(priority, true, "").replace("advert_int 1", "advert_int 0.2");
        format!("global_defs {{\n    vrrp_version 3\n    router_id r\n}}\n{text}")
    });
}

#[test]
fn unicast() {
    migration(false, |priority| {
        gateway(
            priority,
            true,
            "    unicast_src_ip OWN\n    unicast_peer {\n        OTHER\n    }\n",
        )
    });
}

#[test]
fn virtual_macs() {
    migration(false, |priority| gateway(priority, true, "    use_vmac\n"));
}

#[test]
fn without_preemption() {
    migration(true, |priority| {
        gateway(priority, true, "    state BACKUP\n    nopreempt\n")
    });
}

/// Names of instances are those of their node, and no claim of spared takes a role from keepalived at 255.
#[test]
fn other_names_on_each_node_and_a_priority_of_255() {
    scenario(2, |lab| {
        let text = |priority: u8| {
            let text = gateway(priority, false, "");
            text.replace("vrrp_instance ", &format!("vrrp_instance at{priority}_"))
        };
        migrate(lab, [&text(255), &text(100)], false)
    });
}

#[test]
fn tracked_scripts_interfaces_and_rules() {
    migration(false, |priority| {
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
        migrate(lab, [&text, &text], false)?;
        let said = fs::read_to_string(&log)?;
        for line in ["master of two\n", "GROUP office MASTER "] {
            assert!(said.contains(line), "{line}: {said}");
        }
        Ok(())
    });
}

/// Debian's primary-backup.sh for a node of the lab.
fn primary_backup(lab: &Lab, site: &Site) -> Result<String> {
    let file = lab
        .dir
        .join(format!("{}-conntrackd/conntrackd.conf", site.name));
    let script = lab.dir.join(format!("{}-primary-backup.sh", site.name));
    let text = format!(
        "#!/bin/sh\ncase $1 in primary) steps='-c -f -R -B' ;; backup) steps='-t -n' ;; *) steps=-t ;; esac\n\
         for step in $steps; do conntrackd -C '{}' $step || exit; done\n",
        file.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(script.display().to_string())
}

/// conntrackd stays in use until both nodes run spared, which then are a pair: the hooks that import writes commit its cache at the step that
/// takes the role, without which a translated connection ends there (migrating.rs).
#[test]
fn beside_conntrackd_whose_cache_the_hooks_commit() {
    scenario(2, |lab| {
        let options = Options {
            flows: 4096,
            external_cache: true,
            default_buffer: true,
        };
        let mut daemons = Vec::new();
        let mut texts = Vec::new();
        for (site, priority) in lab.sites.iter().zip([200, 100]) {
            Ruleset::snat().load(site)?;
            site.ns
                .set(&[("net/netfilter/nf_conntrack_tcp_be_liberal", "1")])?;
            let own = Wire::Hot.ipv4(site.host());
            site.ns.ip(&format!("addr add {own}/24 dev hot\n"))?;
            daemons.push(Conntrackd::start(lab, site, options)?);
            let script = primary_backup(lab, site)?;
            let roles = [
                ("master", "primary"),
                ("backup", "backup"),
                ("fault", "fault"),
            ];
            let lines =
                roles.map(|(role, word)| format!("    notify_{role} \"{script} {word}\"\n"));
            let begin = "vrrp_sync_group office {";
            let notify = format!("{begin}\n{}", lines.concat());
            texts.push(gateway(priority, true, "").replacen(begin, &notify, 1));
        }
        migrate_with(lab, [&texts[0], &texts[1]], daemons, true)
    });
}
