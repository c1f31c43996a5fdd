// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's keepalived, configured like spared.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Plan, VirtualRouter};
use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Site, find_program, skipped};

const VRRP_PID: &str = "vrrp.pid";

pub fn start(site: &Site, plan: &Plan, dir: &Path, log: &Path) -> Result<Daemon> {
    if find_program(Path::new("keepalived")).is_none() {
        return Err(skipped("keepalived is not installed"));
    }
    let file = dir.join("keepalived.conf");
    fs::write(&file, configuration(site, plan)?)?;
    // A killed keepalived leaves its PID files, and the next one would refuse to start.
    for stale in ["keepalived.pid", "vrrp.pid"] {
        let _ = fs::remove_file(dir.join(stale));
    }
    let mut command = site.ns.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    // Without a syslog daemon, messages would go to the machine's console; a serial one stalls a processor
    // for 12 ms at each failover.
    command.arg("--no-syslog");
    command.arg("--use-file").arg(&file);
    command.arg("--pid").arg(dir.join("keepalived.pid"));
    command.arg("--vrrp_pid").arg(dir.join(VRRP_PID));
    // it writes its statistics there
    command.env("TMPDIR", dir);
    Daemon::start(&format!("{} keepalived", site.name), command, log)
}

/// Statistics of its first instance, as it writes them when it is asked by a signal: what its exporters read.
pub fn statistics(dir: &Path) -> Result<serde_json::Value> {
    let file = dir.join("keepalived.json");
    let _ = fs::remove_file(&file);
    let signal = Command::new("keepalived").arg("--signum=JSON").output()?;
    let signal = String::from_utf8(signal.stdout)?;
    let pid = fs::read_to_string(dir.join(VRRP_PID))?;
    let asked = Command::new("kill")
        .arg(format!("-{}", signal.trim()))
        .arg(pid.trim())
        .status()?;
    if !asked.success() {
        return Err("keepalived's vrrp process is gone".into());
    }
    let mut found = None;
    poll(Duration::from_secs(5), Duration::from_millis(10), || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        found = serde_json::from_str(&text).ok();
        found.is_some()
    });
    let found: serde_json::Value = found.ok_or("keepalived wrote no statistics")?;
    Ok(found.get(0).cloned().unwrap_or_default())
}

fn configuration(site: &Site, plan: &Plan) -> Result<String> {
    let mut text = format!("global_defs {{\n  router_id {}\n}}\n", site.name);
    // A single instance needs no group.
    if plan.routers.len() > 1 {
        text += "vrrp_sync_group all {\n  group {\n";
        for number in 0..plan.routers.len() {
            writeln!(text, "    v{number}")?;
        }
        text += "  }\n}\n";
    }
    for (number, router) in plan.routers.iter().enumerate() {
        instance(&mut text, number, router, site, plan)?;
    }
    Ok(text)
}

fn instance(
    text: &mut String,
    number: usize,
    router: &VirtualRouter,
    site: &Site,
    plan: &Plan,
) -> Result<()> {
    writeln!(text, "vrrp_instance v{number} {{\n  state BACKUP")?;
    writeln!(text, "  interface {}", router.wire.name())?;
    writeln!(text, "  virtual_router_id {}", router.vrid)?;
    writeln!(text, "  priority {}", plan.priority)?;
    if let Some(interval) = plan.interval {
        writeln!(text, "  version {}", plan.version)?;
        writeln!(text, "  advert_int {}", interval.as_secs_f64())?;
    }
    if !plan.preempt {
        writeln!(text, "  nopreempt")?;
    }
    if router.vmac {
        writeln!(text, "  use_vmac vrrp.{}", router.vrid)?;
    }
    if let Some(password) = &router.password {
        writeln!(
            text,
            "  authentication {{\n    auth_type PASS\n    auth_pass {password}\n  }}"
        )?;
    }
    if let Some(peer) = router.peer {
        let own = if peer.is_ipv4() {
            router.wire.ipv4(site.host()).to_string()
        } else {
            router.wire.ipv6(site.host())
        };
        writeln!(
            text,
            "  unicast_src_ip {own}\n  unicast_ttl 255\n  unicast_peer {{\n    {peer}\n  }}"
        )?;
    }
    writeln!(text, "  virtual_ipaddress {{")?;
    for address in &router.addresses {
        writeln!(text, "    {address}")?;
    }
    writeln!(text, "  }}\n}}")?;
    Ok(())
}
