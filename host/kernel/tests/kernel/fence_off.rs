//! Tests the kernel without a fence: addresses are installed exactly while they may answer, and nftables is left alone.

use std::time::Duration;

use spared_contract::Claims;
use spared_kernel::{FenceState, Kernel};

use crate::lab::*;

const SHORT: Duration = Duration::from_millis(100);

fn claimed(claims: Claims) -> Option<(Net, Kernel)> {
    let net = Net::new()?;
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    let mut kernel = Kernel::open_without_fence().unwrap();
    kernel.remove_leftovers().unwrap();
    kernel.claim("office", claims).unwrap();
    drive_for(&mut kernel, Duration::from_millis(50));
    Some((net, kernel))
}

#[test]
fn addresses_answer_from_installing_to_resigning_without_any_table() {
    let Some((net, mut kernel)) = claimed(claims(&["10.0.0.1/24"], SHORT)) else {
        return;
    };
    for carries in [false, true] {
        kernel.grant_lease("office").unwrap();
        kernel.install("office").unwrap();
        // this is longer than any lease, and no advert has renewed one
        drive_for(&mut kernel, SHORT * 2);
        assert_eq!(kernel.fence_status("office"), FenceState::Off);
        assert!(net.pings("10.0.0.1"));
        assert!(!net.output("nft", "list ruleset").contains("spared"));
        if carries {
            kernel.carry_lease("office").unwrap()
        } else {
            kernel.revoke_lease("office").unwrap()
        }
        assert!(net.ignores("10.0.0.1"), "carries {carries}");
        kernel.end_carry("office").unwrap();
        assert!(kernel.remove("office").is_empty());
    }
}

#[test]
fn what_is_prepared_waits_for_its_installation() {
    let Some((net, mut kernel)) = claimed(claims(&["10.0.0.1/24"], SHORT)) else {
        return;
    };
    kernel.prepare("office").unwrap();
    assert!(!net.output("ip", "addr").contains("10.0.0.1/"));
    kernel.install("office").unwrap();
    assert!(net.pings("10.0.0.1"));
}

#[test]
fn a_virtual_mac_is_up_while_its_group_is_installed() {
    let mut claims = claims(&["10.0.0.1/24"], SHORT);
    claims.routers[0].vmac = true;
    let Some((net, mut kernel)) = claimed(claims) else {
        return;
    };
    let is_up = || net.output("ip", "-br link show up").contains("vrrp50");
    assert!(!is_up());
    for _ in 0..2 {
        kernel.install("office").unwrap();
        assert!(is_up(), "{}", net.output("ip", "link"));
        assert!(net.pings("10.0.0.1"));
        kernel.revoke_lease("office").unwrap();
        assert!(!is_up());
    }
    drive_for(&mut kernel, Duration::from_millis(100));
    assert!(!is_up());
}

#[test]
fn the_fence_of_a_killed_run_is_removed() {
    let Some(net) = Net::new() else { return };
    let mut before = Kernel::open().unwrap();
    before
        .claim("office", claims(&["10.0.0.1/24"], SHORT))
        .unwrap();
    drop(before);
    assert!(net.output("nft", "list ruleset").contains("spared"));
    let mut kernel = Kernel::open_without_fence().unwrap();
    let removed = kernel.remove_leftovers().unwrap();
    assert!(removed.iter().any(|what| what.contains("netdev spared")));
    assert!(!net.output("nft", "list ruleset").contains("spared"));
}
