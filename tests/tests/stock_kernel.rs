// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's kernel as it is distributed, in which the fence, Landlock and ESP are side by side: the kernel of the
//! other machines has no Landlock, and that of a host may have neither.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{Family, Mode, Stats, Suite, Tunnel, Tunnelled, following, is_in_clear};
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario};
use spared_tests::machine::{Node, STEP, wait_settled};
use spared_tests::probe::{Asker, Questions, Watch};
use spared_tests::router::PluginFile;

/// For an emulated processor, a tenth as fast as this one.
const INTERVAL: Duration = Duration::from_secs(1);
const SPACING: Duration = Duration::from_millis(20);
const CALM: Duration = Duration::from_secs(2);
/// The router that has Debian's kernel; the other one has the kernel of the other machines, which costs less time.
const STOCK: usize = 0;
/// By then the fence of a node that hangs has closed: its lease is 2.7 s at this interval.
const CLOSED: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(30);
/// Time for the start beside other tests, in which the emulated processor may get a quarter of this one.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Two nodes that answer are caught at this pace.
const ASKED: Duration = Duration::from_millis(100);
const EACCES: u64 = 13;
const PROBE: &str = "acme-probe";
/// File that the plugin may open, in a folder that it may not.
const NAMED: &str = "/run/acme.conf";

/// The kernel goes on with the addresses and SAs of a spared that hangs: only the fence silences it.
fn assert_moves_beside_one_that_hangs(
    tunnelled: &Tunnelled,
    tunnel: &Tunnel,
    first: usize,
) -> Result<()> {
    let gateway = Wire::Wan.ipv4(VIRTUAL);
    let watch = Watch::of_machines(tunnelled.lab, &tunnelled.routers)?;
    let questions = Questions {
        ipv4: vec![gateway],
        ..Questions::default()
    };
    let _asker = Asker::of_machines(tunnelled.lab, &tunnelled.routers, questions, ASKED)?;
    let recorder = tunnelled.record()?;
    let pings = tunnelled.pings(tunnel.family, SPACING)?;
    let steady = pings.outage_of(Stamp::now(), CALM, LIMIT);
    assert!(steady.is_some(), "no answers through the tunnel");

    let (old, new) = (&tunnelled.routers[first], &tunnelled.routers[1 - first]);
    let began = Stamp::now();
    old.ok("pkill -STOP ^spared")?;
    let outage = pings.outage_of(began, CLOSED, LIMIT).ok_or("no failover")?;
    assert_eq!(outage.gaps, 1, "{outage:?}");
    let runs = watch.runs(began, gateway.into());
    let sites: Vec<usize> = runs.iter().map(|run| run.site).collect();
    assert_eq!(sites, [first, 1 - first], "{runs:?}");
    assert_eq!(recorder.take(is_in_clear).len(), 0);

    old.ok("pkill -CONT ^spared")?;
    assert_eq!(wait_joined(tunnelled.nodes())?, 1 - first);
    tunnelled.wait_followed(1 - first, 2, 3)?;
    for machine in [new, &tunnelled.far] {
        assert_eq!(machine.xfrm_errors()?, Stats::new(), "{}", machine.name);
    }
    Ok(())
}

/// Waits until both nodes are settled, with nothing missing. Returns the active one.
///
/// The probe has a peer plugin and nothing that would follow. A link that comes up makes its word void, so it is asked
/// for it again until the pair is settled.
fn wait_joined(nodes: [Node; 2]) -> Result<usize> {
    let mut active = Err("not asked".into());
    poll(LIMIT, STEP, || {
        for node in nodes {
            let _ = node.sparectl(&format!("{PROBE} in-sync 1 yes"));
        }
        active = wait_settled(nodes, Duration::ZERO);
        active.is_ok()
    });
    active
}

/// A plugin opens what everybody may read only where Landlock lets it, and no step of the confinement failed.
fn assert_confined(node: Node) -> Result<()> {
    const SEEN: &str = "/tmp/seen";
    node.0
        .ok(&format!("echo seen >{SEEN} && chmod 644 {SEEN}"))?;
    for (path, error) in [(SEEN, EACCES), ("/usr/lib/os-release", 0), (NAMED, 0)] {
        assert_eq!(errno(node, path)?, Some(error), "{}: {path}", node.0.name);
    }
    let log = node.log();
    let missed = log.lines().find(|line| line.contains(" but without: "));
    assert_eq!(missed, None, "{}", node.0.name);
    Ok(())
}

/// A named file that an editor replaces is another one for Landlock: the plugin is restarted, and opens it.
fn assert_opens_what_is_replaced(node: Node) -> Result<()> {
    node.0
        .ok(&format!("echo new >{NAMED}.new && mv {NAMED}.new {NAMED}"))?;
    assert_eq!(errno(node, NAMED)?, Some(EACCES), "before the restart");
    let opens = || errno(node, NAMED).is_ok_and(|it| it == Some(0));
    assert!(poll(LIMIT, STEP, opens), "{}: {}", node.0.name, node.log());
    let told = format!("{PROBE} is restarted to open {NAMED}, which was replaced");
    assert!(node.log().contains(&told), "{}", node.log());
    assert_eq!(node.role(), "active");
    Ok(())
}

/// Error with which the plugin opens a file, 0 for none. None while the plugin does not run.
fn errno(node: Node, path: &str) -> Result<Option<u64>> {
    let rows = node.rows(&format!("{PROBE} open {path}"))?;
    Ok(rows.get("errno").and_then(serde_json::Value::as_u64))
}

/// The plugin by which the host's own tests look out of a worker.
fn probe(lab: &Lab) -> Result<PluginFile> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file: PathBuf = lab.dir.join("probe.so");
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-shared", "-fPIC", "-fvisibility=hidden", "-I"]);
    command.arg(repository.join("abi/c"));
    command.arg(format!("-DPROBE_NAME=\"{PROBE}\""));
    command.arg(format!("-DPROBE_PATH=\"{NAMED}\""));
    command.arg("-o").arg(&file);
    for source in [
        "host/process/tests/plugins/probe.c",
        "abi/c/spared_plugin.c",
    ] {
        command.arg(repository.join(source));
    }
    if command.arg("-lpthread").status()?.success() {
        Ok(PluginFile {
            name: PROBE.to_owned(),
            toml: String::new(),
            file: file.display().to_string(),
        })
    } else {
        Err("probe.c does not compile".into())
    }
}

mod in_machines {
    use super::*;

    #[test]
    fn a_tunnel_goes_on_beside_a_confined_node_with_debians_own_kernel() {
        scenario(0, |lab| {
            let tunnelled = Tunnelled::boot_stock(lab)?;
            let mut plan = following("");
            plan.interval = Some(INTERVAL);
            plan.plugins.push(probe(lab)?);
            let [stock, other] = tunnelled.nodes();
            for node in [stock, other] {
                node.0
                    .ok(&format!("echo old >{NAMED} && chmod 644 {NAMED}"))?;
            }
            stock.start(&plan)?;
            stock.wait_role("active", START_LIMIT)?;
            assert_confined(stock)?;
            assert_opens_what_is_replaced(stock)?;
            other.start(&plan)?;
            // an emulated processor that was late while the other node started has lost the role
            if wait_joined(tunnelled.nodes())? != STOCK {
                tunnelled.switch_to(STOCK)?;
                assert_eq!(wait_joined(tunnelled.nodes())?, STOCK);
            }
            let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn);
            tunnelled.install(&tunnel, STOCK)?;
            tunnelled.wait_followed(STOCK, 2, 3)?;
            assert_moves_beside_one_that_hangs(&tunnelled, &tunnel, STOCK)
        });
    }
}
