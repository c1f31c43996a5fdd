// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's keepalived, configured like spared.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{Plan, VirtualRouter};
use crate::Result;
use crate::lab::{Daemon, Site, find_program, skipped};

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
    command.arg("--vrrp_pid").arg(dir.join("vrrp.pid"));
    Daemon::start(&format!("{} keepalived", site.name), command, log)
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
