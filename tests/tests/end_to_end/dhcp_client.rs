// SPDX-License-Identifier: MIT OR Apache-2.0
//! An interface that is a DHCP client itself may carry a group's addresses.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::SERVER;
use spared_tests::lab::{Daemon, Lab, Site, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;

fn within(limit: Duration, holds: impl FnMut() -> bool) -> bool {
    poll(limit, Duration::from_millis(20), holds)
}

/// A DHCP client on the router's wan that treats the interface as its own, as busybox's example
/// script does: it empties it before each lease.
fn client(lab: &Lab, site: &Site) -> Result<Daemon> {
    let script = lab.dir.join(format!("{}-wan-script", site.name));
    fs::write(
        &script,
        "#!/bin/sh\ncase $1 in\ndeconfig) ip -4 addr flush dev wan ;;\n\
         bound|renew) ip addr replace \"$ip/$mask\" dev wan ;;\nesac\n",
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let mut command = site.ns.command("busybox");
    command.args(["udhcpc", "-f", "-i", "wan", "-t", "20", "-T", "1", "-s"]);
    command.arg(&script);
    Daemon::start(
        "udhcpc",
        command,
        &lab.dir.join(format!("{}-wan.log", site.name)),
    )
}

/// The provider's server; its leases are of another pool each time.
fn provider(lab: &Lab, first: u8) -> Result<Daemon> {
    let mut command = lab.wan.command("dnsmasq");
    let (from, to) = (Wire::Wan.ipv4(first), Wire::Wan.ipv4(first + 9));
    command.args([
        "-k",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--no-ping",
    ]);
    command.args(["--interface=wan", "--pid-file=", "--dhcp-authoritative"]);
    command.arg(format!("--dhcp-range={from},{to},255.255.255.0,120"));
    command.arg(format!(
        "--dhcp-leasefile={}",
        lab.dir.join("provider.leases").display()
    ));
    Daemon::start("dnsmasq", command, &lab.dir.join("provider.log"))
}

#[test]
fn a_dhcp_client_on_a_routers_interface_leaves_the_groups_addresses() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let first = provider(lab, 100)?;
        let clients = [client(lab, &lab.sites[0])?, client(lab, &lab.sites[1])?];
        let leased = |site: usize, pool: Range<u8>| {
            let ns = &lab.sites[site].ns;
            pool.into_iter()
                .any(|host| ns.holds(&Wire::Wan.ipv4(host).to_string()))
        };
        let limit = Duration::from_secs(10);
        assert!(within(limit, || leased(0, 100..110) && leased(1, 100..110)));
        let pair = Linked::start(lab, &plan)?;
        let virtual_wan = Wire::Wan.ipv4(1).to_string();
        let at = pair.at()?;
        assert!(lab.sites[at].ns.holds(&virtual_wan));
        assert!(lab.sites[at].ns.holds(&SERVER.to_string()));

        // the provider moves its customers: the old lease is given back, and all addresses with it
        drop(first);
        fs::write(lab.dir.join("provider.leases"), "")?;
        let _second = provider(lab, 200)?;
        let signal = |signal| clients.iter().try_for_each(|it| it.signal(signal));
        signal(Signal::USR2)?;
        // a client that gets both signals at once may give back what it has just asked for, and then waits
        assert!(within(limit, || !leased(0, 100..110) && !leased(1, 100..110)));
        signal(Signal::USR1)?;
        assert!(within(limit, || leased(0, 200..210) && leased(1, 200..210)));
        pair.wait_settled()?;
        let at = pair.at()?;
        assert!(within(Duration::from_secs(2), || {
            lab.holders(&virtual_wan) == [at] && lab.holders(&SERVER.to_string()) == [at]
        }));
        Ok(())
    });
}
