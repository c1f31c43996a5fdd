// SPDX-License-Identifier: MIT OR Apache-2.0
//! ISC dhcpd's configuration.

use super::server::{Make, Setup};
use super::{Pool, SERVER};

pub fn config(setup: &Setup) -> String {
    let mut text = format!(
        "# DHCP of the lan\nddns-update-style none;\ndefault-lease-time {0};\n\
         max-lease-time {0};\nmin-lease-time {0};\n",
        setup.lifetime_s
    );
    if let Some(renew_s) = setup.renew_s {
        text += &format!("option dhcp-renewal-time {renew_s};\n");
    }
    text += &match setup.make {
        Make::Dhcpd6 => subnet6(setup),
        _ => subnet4(setup),
    };
    text
}

fn subnet4(setup: &Setup) -> String {
    let (_, network, mask) = setup.pool.subnet();
    let (_, first, last) = setup.pool.ipv4();
    format!(
        "ping-check false;\nserver-identifier {SERVER};\n\
         subnet {network} netmask {mask} {{\n    range {first} {last};\n    \
         option routers {SERVER};\n}}\n"
    )
}

fn subnet6(setup: &Setup) -> String {
    let range = match setup.pool {
        Pool::Narrow => "fd01::1000 fd01::1fff",
        Pool::Wide => "fd01::1:0 fd01::4:ffff",
    };
    format!(
        "preferred-lifetime {};\nsubnet6 fd01::/64 {{\n    range6 {range};\n    \
         prefix6 fd01:0:0:100:: fd01:0:0:1ff:: /64;\n}}\n",
        setup.lifetime_s * 3 / 4
    )
}
