// SPDX-License-Identifier: MIT OR Apache-2.0
//! dnsmasq's configuration: DHCP only, no DNS.

use super::server::{Make, Paths, Setup};
use super::{Pool, SERVER};

pub fn config(setup: &Setup, paths: &Paths) -> String {
    let mut lines = vec![
        "# DHCP of the lan".to_owned(),
        "port=0".to_owned(),
        "user=root".to_owned(),
        "no-ping".to_owned(),
        format!("dhcp-leasefile={}", paths.leases.display()),
        format!("pid-file={}", paths.pid.display()),
        format!("log-facility={}", paths.log.display()),
        "log-dhcp".to_owned(),
    ];
    if setup.pool == Pool::Wide {
        lines.pop();
        lines.push("quiet-dhcp\nquiet-dhcp6\ndhcp-lease-max=100000".to_owned());
    }
    if setup.make == Make::Dnsmasq4 {
        // not by interface: its identifier would be the first address there, which does not move
        lines.push(format!("listen-address={SERVER}"));
    } else {
        lines.push("interface=lan".to_owned());
    }
    if setup.make != Make::Dnsmasq6 {
        lines.push(range4(setup));
        lines.push(format!("dhcp-option=option:router,{SERVER}"));
    }
    if setup.make != Make::Dnsmasq4 {
        lines.push(range6(setup));
    }
    if let Some(renew_s) = setup.renew_s {
        lines.push(format!("dhcp-option=option:T1,{renew_s}"));
    }
    if setup.authoritative {
        lines.push("dhcp-authoritative".to_owned());
    }
    if setup.dbus {
        lines.push("enable-dbus".to_owned());
    }
    lines.join("\n") + "\n"
}

fn range4(setup: &Setup) -> String {
    let (_, first, last) = setup.pool.ipv4();
    let (_, _, mask) = setup.pool.subnet();
    format!("dhcp-range={first},{last},{mask},{}", setup.lifetime_s)
}

fn range6(setup: &Setup) -> String {
    let range = match setup.pool {
        Pool::Narrow => "fd01::1000,fd01::1fff",
        Pool::Wide => "fd01::1:0,fd01::4:ffff",
    };
    format!("dhcp-range={range},64,{}", setup.lifetime_s)
}
