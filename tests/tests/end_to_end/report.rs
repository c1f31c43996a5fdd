// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file with all that both nodes have to say, without their secrets, also of a daemon that died.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Wire, build_dir, scenario};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, PluginFile};

const PASSPHRASE: &str = "wet-PLANTED-Horse7battery";

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

/// Runs `sparectl report` on a node, by way of `around`.
fn report(pair: &Linked, site: usize, out: &Path, around: &[&str]) -> Result<Output> {
    let dir = &pair.routers[site].dir;
    let mut words: Vec<PathBuf> = around.iter().map(PathBuf::from).collect();
    words.push(build_dir()?.join("sparectl"));
    let mut command: Command = pair.site(site).ns.command(&words[0]);
    command.args(&words[1..]);
    command.arg("--runtime-dir").arg(dir.join("run"));
    command.args(["report", "--out"]).arg(out);
    command.arg("--config").arg(dir.join("etc/spared.toml"));
    command.arg("--plugin-dir").arg(dir.join("plugins"));
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A bundle's files by their names below its folder, unpacked by tar.
pub fn bundle(
    pair: &Linked,
    site: usize,
    name: &str,
) -> Result<(String, BTreeMap<String, String>)> {
    let folder = pair.lab.dir.join(name);
    fs::create_dir_all(&folder)?;
    let out = folder.join("bundle.tar.gz");
    let output = report(pair, site, &out, &[])?;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(fs::metadata(&out)?.permissions().mode() & 0o7777, 0o600);
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(&out)
        .arg("-C")
        .arg(&folder)
        .output()?;
    assert!(unpacked.status.success(), "{}", said(&unpacked));
    let find = Command::new("find")
        .arg(&folder)
        .args(["-mindepth", "2", "-type", "f"])
        .output()?;
    let mut files = BTreeMap::new();
    for path in said(&find).lines() {
        let below = Path::new(path).strip_prefix(&folder)?;
        let name: PathBuf = below.components().skip(1).collect();
        files.insert(name.display().to_string(), fs::read_to_string(path)?);
    }
    Ok((text, files))
}

/// A plan whose files hold secrets in each place where one may stand, and a script that says them.
fn leaky() -> Plan {
    let mut plan = plan();
    if let Some(link) = &mut plan.link {
        link.secret = Some(PASSPHRASE.to_owned());
        link.extra = "# once it was PLANTED-comment\n".to_owned();
    }
    let says = "echo PLANTED-value PLANTED-quoted\\\"part wet-PLANTED-Horse7battery; exit 1";
    plan.plugins.push(PluginFile {
        name: "health".to_owned(),
        toml: format!(
            "[[script]]\nname = \"leak\"\nargv = [\"/bin/sh\", \"-c\", '{says}', \"--token\", \"PLANTED-argument\"]\n\
             interval = \"200ms\"\nfall = 1\nweight = 1\n"
        ),
        file: "libspared_health.so".to_owned(),
    });
    let mut messenger = peer("");
    messenger.toml = "label = \"kept\"\ncommunity = \"PLANTED-community\"\n".to_owned();
    plan.plugins.push(messenger);
    // it does not run
    plan.plugins.push(PluginFile {
        name: "other".to_owned(),
        toml: "enabled = false\nsecret_file = \"/kept/path\"\n[account]\npassword = \"PLANTED-value\" # PLANTED-remark\n\
               psk = 'PLANTED-quoted\"part'\nurl = \"https://me:PLANTED-url@host/\"\n"
            .to_owned(),
        file: "libspared_vrrp.so".to_owned(),
    });
    plan
}

/// A pair settles in less than the second after which there is a record.
fn wait_recorded(pair: &Linked<'_>) -> Result<()> {
    let active = pair.at()?;
    for (site, router) in pair.routers.iter().enumerate() {
        let role = if site == active { "active" } else { "backup" };
        let (ring, recorded) = (
            router.dir.join("run/ring"),
            format!("\"office\":\"{role}\""),
        );
        pair.wait("a second of its role in each ring", || {
            let bytes = fs::read(&ring).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(&recorded)
        })?;
    }
    Ok(())
}

#[test]
fn a_bundle_has_both_nodes_and_none_of_their_secrets() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &leaky())?;
        pair.wait("the script's words in the status", || {
            let text = pair.said(0, &["status"]).unwrap_or_default().1;
            text.contains("PLANTED-value")
        })?;
        wait_recorded(&pair)?;
        for site in [0, 1] {
            pair.site(site).ns.nft("add table inet mine")?;
        }
        let (text, files) = bundle(&pair, 0, "both")?;
        assert!(text.contains("bundle.tar.gz: r1 and r2"), "{text}");
        for node in ["r1", "r2"] {
            for name in [
                "status.txt",
                "status.json",
                "why.txt",
                "history.txt",
                "events.txt",
                "plugins.txt",
                "plugins/vrrp.txt",
                "plugins/health.txt",
                "config/spared.toml",
                "config/vrrp.toml",
                "config/other.toml",
                "config/modes.txt",
                "check.txt",
                "ring.txt",
                "ip/address.txt",
                "ip/route4.txt",
                "ip/rule6.txt",
                "nft/fence.txt",
                "nft/ruleset.txt",
                "system/memory.txt",
                "system/uptime.txt",
                "system/version.txt",
            ] {
                let file = files.get(&format!("{node}/{name}"));
                assert!(
                    file.is_some_and(|it| !it.is_empty()),
                    "{node}/{name}: {text}"
                );
            }
            assert!(files[&format!("{node}/nft/fence.txt")].contains("table netdev spared"));
            let other = &files[&format!("{node}/config/other.toml")];
            assert!(other.contains("password = \"***\"\n"), "{other}");
            assert!(
                !other.contains("kept"),
                "nobody knows which are secret: {other}"
            );
            let messenger = &files[&format!("{node}/config/messenger.toml")];
            assert_eq!(messenger, "label = \"kept\"\ncommunity = \"***\"\n");
            let modes = &files[&format!("{node}/config/modes.txt")];
            assert!(modes.contains("100600"), "{modes}");
            let ring = &files[&format!("{node}/ring.txt")];
            assert!(ring.contains("groups: office"), "{ring}");
            assert!(ring.contains("heartbeats_received"), "{ring}");
            assert!(ring.contains("adverts_sent"), "{ring}");
        }
        let active = pair.at()?;
        let active = &files[&format!("r{}/ring.txt", active + 1)];
        assert!(active.contains("office active"), "{active}");
        assert!(files["README.txt"].contains("Missing:"), "no systemd here");
        for (name, file) in &files {
            assert!(!file.contains("PLANTED"), "{name}: {file}");
        }
        let status = &files["r1/status.txt"];
        assert!(status.contains("leak"), "{status}");
        Ok(())
    });
}

#[test]
fn the_private_key_is_nowhere_in_a_bundle() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let (_, files) = bundle(&pair, 1, "keys")?;
        assert!(files.contains_key("r1/status.txt") && files.contains_key("r2/status.txt"));
        for site in [0, 1] {
            let key = fs::read_to_string(pair.routers[site].dir.join("etc/key"))?;
            let bare = key.trim().rsplit(':').next().unwrap_or_default();
            assert!(bare.len() > 30, "{bare}");
            for (name, file) in &files {
                assert!(!file.contains(bare), "{name}");
            }
        }
        Ok(())
    });
}

#[test]
fn what_a_daemon_did_before_it_was_killed_is_in_the_bundle() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let old = pair.at()?;
        // of all seconds that it lives
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let new = pair.strike(Fault::Kill)?;
        let (node, other) = (format!("r{}", old + 1), format!("r{}", new + 1));
        let (text, files) = bundle(&pair, old, "dead")?;
        assert!(text.contains("the daemon does not answer"), "{text}");
        assert!(text.contains("report of the other node"), "{text}");
        let ring = &files[&format!("{node}/ring.txt")];
        let active = ring
            .lines()
            .filter(|it| it.contains("office active"))
            .count();
        assert!(active >= 7, "{ring}");
        for name in ["config/spared.toml", "ip/address.txt", "check.txt"] {
            assert!(
                files.contains_key(&format!("{node}/{name}")),
                "{name}: {text}"
            );
        }
        assert!(!files.contains_key(&format!("{node}/status.txt")));
        assert!(files["README.txt"].contains("does not answer"));

        // from the node that lives: it says that the other is silent, and has its own half
        let (text, files) = bundle(&pair, new, "left")?;
        assert!(text.contains(&format!("report of {node}: ")), "{text}");
        let status = &files[&format!("{other}/status.txt")];
        assert!(status.starts_with("ALONE"), "{status}");

        // after a restart both runs are there, the earlier one first
        pair.repair(Fault::Kill, old)?;
        let runs = || -> Result<Vec<String>> {
            let folder = pair.lab.dir.join("again");
            let (_, files) = bundle(&pair, new, "again")?;
            fs::remove_dir_all(folder)?;
            let ring = files.get(&format!("{node}/ring.txt")).ok_or("no ring")?;
            let pid = |line: &str| line.split(' ').nth(3).map(str::to_owned);
            let mut pids: Vec<String> = ring.lines().filter_map(pid).collect();
            pids.dedup();
            Ok(pids)
        };
        pair.wait("both runs in the ring", || {
            runs().is_ok_and(|pids| pids.len() == 2)
        })?;
        Ok(())
    });
}

#[test]
fn a_bundle_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let folder = pair.lab.dir.join("full");
        fs::create_dir_all(&folder)?;
        let out = folder.join("bundle.tar.gz");

        fs::write(&out, "mine")?;
        let output = report(&pair, 0, &out, &[])?;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains("exists already"),
            "{}",
            said(&output)
        );
        assert_eq!(fs::read_to_string(&out)?, "mine");
        fs::remove_file(&out)?;

        let nowhere = report(&pair, 0, Path::new("/nowhere/bundle.tar.gz"), &[])?;
        assert_eq!(nowhere.status.code(), Some(1), "{}", said(&nowhere));
        assert!(said(&nowhere).contains("cannot write /nowhere/bundle.tar.gz: No such file"));

        let shown = folder.to_string_lossy();
        let script = format!(
            "mount -t tmpfs -o size=4k none '{shown}' && \"$@\"; code=$?; ls -A '{shown}'; exit $code"
        );
        let around = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let full = report(&pair, 0, &out, &around)?;
        let text = said(&full);
        assert_eq!(full.status.code(), Some(1), "{text}");
        assert!(text.contains("No space left on device"), "{text}");
        let left = ["bundle.tar.gz", ".bundle.tar.gz.spared"];
        assert!(!text.lines().any(|line| left.contains(&line)), "{text}");
        Ok(())
    });
}

#[test]
fn a_daemon_that_hangs_delays_a_bundle_and_does_not_prevent_it() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let old = pair.at()?;
        wait_recorded(&pair)?;
        pair.strike(Fault::Hang)?;
        let began = Instant::now();
        let (text, files) = bundle(&pair, old, "hung")?;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert!(text.contains("did not answer for"), "{text}");
        assert!(files.contains_key(&format!("r{}/ring.txt", old + 1)));
        pair.repair(Fault::Hang, old)?;
        let known = || {
            bundle(&pair, old, "resumed")
                .is_ok_and(|it| it.0.contains("r1 and r2") || it.0.contains("r2 and r1"))
        };
        assert!(poll(
            Duration::from_secs(1),
            Duration::from_millis(10),
            known
        ));
        Ok(())
    });
}
