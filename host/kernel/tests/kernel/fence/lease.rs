//! Tests leases: while the fence blocks, nobody learns or reaches an address. An advert renews a
//! valid lease and grants none.

use std::time::Duration;

use spared_contract::Family;
use spared_kernel::FenceState;

use super::{SHORT, keeps_sending};
use crate::lab::*;

#[test]
fn a_closed_lease_lets_nobody_learn_or_reach_an_ipv4_address() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(!tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.ignores("10.0.0.1"));
    assert!(
        net.pings("10.0.0.2"),
        "the node's own address must not suffer"
    );

    kernel.grant_lease("office").unwrap();
    tap.send(&arp_request([10, 0, 0, 1]));
    assert!(tap.hears(|frame| is_arp_reply_from(frame, [10, 0, 0, 1])));
    assert!(net.pings("10.0.0.1"));
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);

    kernel.revoke_lease("office").unwrap();
    // A station that knows the MAC already gets no answer either.
    assert!(net.ignores("10.0.0.1"));
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(kernel.counts().fence.refused > 0);
}

#[test]
fn a_closed_lease_lets_nobody_learn_or_reach_an_ipv6_address() {
    let claims = claims(&["fe80::1/64", "2001:db8::1/64"], LONG);
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.ignores(address),
            "{address} answers through a blocking fence"
        );
    }
    assert!(
        net.pings("fe80::2%peer"),
        "the node's own address must not suffer"
    );
    kernel.grant_lease("office").unwrap();
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.pings(address),
            "{address} does not answer through a passing fence"
        );
    }
    kernel.revoke_lease("office").unwrap();
    for address in ["fe80::1%peer", "2001:db8::1"] {
        assert!(
            net.ignores(address),
            "{address} answers to one who knows its MAC"
        );
    }
}

#[test]
fn nothing_leaves_from_an_address_without_a_lease() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    let from_address = |frame: &[u8]| {
        (frame[12..14] == [8, 0] && frame[26..30] == [10, 0, 0, 1])
            || (frame[12..14] == [8, 6] && frame[28..32] == [10, 0, 0, 1])
    };
    let _ = net.output("ping", "-c1 -W0.2 -I 10.0.0.1 10.0.0.3");
    assert!(!tap.hears(from_address));
    kernel.announce("office");
    assert!(
        !tap.hears(from_address),
        "an announcement leaves without a lease"
    );
    kernel.grant_lease("office").unwrap();
    kernel.announce("office");
    let _ = net.output("ping", "-c1 -W0.2 -I 10.0.0.1 10.0.0.3");
    assert!(tap.hears(from_address));
}

#[test]
fn an_advert_of_priority_zero_passes_and_closes_the_lease() {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.addresses.push(address("lan2", "10.0.0.77/32", None));
    let Some((net, mut kernel)) = installed(claims) else {
        return;
    };
    let tap = net.tap();
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.0.1"));
    assert!(
        net.pings("10.0.0.77"),
        "an address without a router follows the group"
    );
    tap.clear();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 0)).unwrap();
    assert!(tap.hears(is_advert));
    assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    assert!(net.ignores("10.0.0.1"));
    assert!(net.ignores("10.0.0.77"));
    assert_eq!(kernel.counts().fence.resigned, 1);
    // A resignation always passes, also through a blocking fence.
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 0)).unwrap();
    assert!(tap.hears(is_advert));
}

#[test]
fn vrrp_of_others_passes_untouched() {
    let Some((net, _kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    let tap = net.tap();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 51, 100)).unwrap();
    assert!(tap.hears(|frame| is_advert(frame) && frame[35] == 51));
    // Adverts pass also from the virtual MAC of a router that is not ours.
    send(&advert([0, 0, 0x5e, 0, 1, 51], Family::V4, 51, 100)).unwrap();
    assert!(tap.hears(|frame| is_advert(frame) && frame[35] == 51));
    send(&advert(mac_of(&net, "lan2"), Family::V6, 50, 100)).unwrap();
    assert!(tap.hears(|frame| frame[12..14] == [0x86, 0xdd] && frame[20] == 112));
}

#[test]
fn the_host_may_die_and_the_fence_still_closes() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], SHORT)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    // No close(): as after SIGKILL, only descriptors are closed.
    drop(kernel);
    std::thread::sleep(SHORT * 2);
    assert!(net.output("ip", "addr show lan2").contains("10.0.0.1/24"));
    assert!(net.output("nft", "list tables").contains("netdev spared"));
    assert!(!net.output("nft", "list tables").contains("spared-mirror"));
    assert!(net.ignores("10.0.0.1"));
}

mod alone {
    use super::*;

    #[test]
    fn adverts_renew_a_living_lease_and_cannot_open_a_dead_one() {
        let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], SHORT)) else {
            return;
        };
        let tap = net.tap();
        let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
        assert!(
            send(&frame).is_err(),
            "an advert must be refused before a lease is opened"
        );
        assert!(!tap.hears(is_advert));

        kernel.grant_lease("office").unwrap();
        if !keeps_sending(&frame, SHORT) {
            return;
        }
        assert_eq!(kernel.fence_status("office"), FenceState::Passing);
        assert!(tap.hears(is_advert));

        // No advert for longer than the lease, as if the daemon was stopped.
        std::thread::sleep(SHORT * 2);
        assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
        let before = kernel.counts().fence.adverts_refused;
        assert!(
            send(&frame).is_err(),
            "it resumes, and must not open its own lease"
        );
        assert_eq!(kernel.counts().fence.adverts_refused, before + 1);
        assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
        assert!(net.ignores("10.0.0.1"));
        // The host does not restore it either by publishing active again.
        kernel.grant_lease("office").unwrap();
        assert_eq!(kernel.fence_status("office"), FenceState::Blocking);
    }

    #[test]
    fn adverts_of_ipv6_renew_and_close_their_own_lease_only() {
        let claims = claims(&["10.0.0.1/24", "fe80::1/64"], SHORT);
        let Some((net, mut kernel)) = installed(claims) else {
            return;
        };
        let mac = mac_of(&net, "lan2");
        kernel.grant_lease("office").unwrap();
        if !keeps_sending(&advert(mac, Family::V6, 50, 100), SHORT) {
            return;
        }
        assert!(
            send(&advert(mac, Family::V4, 50, 100)).is_err(),
            "nobody renewed IPv4"
        );
        assert!(
            send(&advert(mac, Family::V6, 50, 100)).is_ok(),
            "IPv6 was renewed"
        );
    }

    #[test]
    fn adverts_of_any_router_keep_the_addresses_that_follow_the_group() {
        let lease = Duration::from_secs(1);
        let mut claims = claims(&["10.0.0.1/24"], lease);
        claims.addresses.push(address("lan2", "10.0.0.77/32", None));
        let Some((net, mut kernel)) = installed(claims) else {
            return;
        };
        kernel.grant_lease("office").unwrap();
        let frame = advert(mac_of(&net, "lan2"), Family::V4, 50, 100);
        if !keeps_sending(&frame, lease) {
            return;
        }
        let leases = net.output("nft", "list set netdev spared lease");
        // One lease is the group's, the other the router's.
        assert_eq!(leases.matches("expires").count(), 2, "{leases}");
        std::thread::sleep(lease * 2);
        let leases = net.output("nft", "list set netdev spared lease");
        assert_eq!(leases.matches("expires").count(), 0, "{leases}");
    }
}
