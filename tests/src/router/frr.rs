// SPDX-License-Identifier: MIT OR Apache-2.0
//! FRR's zebra and vrrpd, which need the macvlan devices of their virtual routers to exist.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Plan, VirtualRouter};
use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Site, maps_one_user, skipped};
use crate::probe::vmac;

const DIR: &str = "/usr/lib/frr";

pub fn start(site: &Site, plan: &Plan, dir: &Path, log: &Path) -> Result<Vec<Daemon>> {
    if !Path::new(DIR).join("vrrpd").exists() {
        return Err(skipped("frr is not installed"));
    }
    if maps_one_user()? {
        return Err(skipped(
            "frr's daemons become the user frr, who is not to be had here",
        ));
    }
    let file = dir.join("frr.conf");
    fs::write(&file, configuration(plan)?)?;
    for (number, router) in plan.routers.iter().enumerate() {
        make_device(site, number, router)?;
    }
    // The daemons always switch to the user frr.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
    let socket = dir.join("zserv.api");
    let run = |daemon: &str| {
        let mut command = site.ns.command(format!("{DIR}/{daemon}"));
        command.args(["-P", "0", "--log", "stdout"]);
        command.arg("-f").arg(&file);
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("-z").arg(&socket);
        command.arg("--vty_socket").arg(dir);
        Daemon::start(&format!("{} {daemon}", site.name), command, log)
    };
    let zebra = run("zebra")?;
    if !poll(Duration::from_secs(10), Duration::from_millis(10), || {
        socket.exists()
    }) {
        return Err(format!("{}: zebra made no socket\n{}", site.name, zebra.log()).into());
    }
    Ok(vec![zebra, run("vrrpd")?])
}

fn configuration(plan: &Plan) -> Result<String> {
    let mut text = String::new();
    for router in &plan.routers {
        let (vrid, interface) = (router.vrid, router.wire.name());
        writeln!(
            text,
            "interface {interface}\n vrrp {vrid} version {}",
            plan.version
        )?;
        writeln!(text, " vrrp {vrid} priority {}", plan.priority)?;
        if !plan.preempt {
            writeln!(text, " no vrrp {vrid} preempt")?;
        }
        if let Some(interval) = plan.interval {
            writeln!(
                text,
                " vrrp {vrid} advertisement-interval {}",
                interval.as_millis()
            )?;
        }
        let family = if router.is_ipv6() { "ipv6" } else { "ip" };
        for address in &router.addresses {
            let bare = address.split('/').next().unwrap_or(address);
            writeln!(text, " vrrp {vrid} {family} {bare}")?;
        }
        writeln!(text, "exit")?;
    }
    Ok(text)
}

// The addresses are always on the device, which vrrpd sets protodown while it is backup.
fn make_device(site: &Site, number: usize, router: &VirtualRouter) -> Result<()> {
    let [a, b, c, d, e, f] = vmac(router.is_ipv6(), router.vrid);
    let device = format!("vrrp{number}");
    let mut lines = format!(
        "link add {device} link {} type macvlan mode bridge\n\
         link set {device} address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}\n",
        router.wire.name()
    );
    for address in &router.addresses {
        writeln!(lines, "addr add {address} dev {device} nodad")?;
    }
    writeln!(lines, "link set {device} up")?;
    site.ns.ip(&lines)
}
