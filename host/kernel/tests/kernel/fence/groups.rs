//! Tests several routers, groups and VLANs: each has its own lease.

use std::time::Duration;

use spared_contract::{Claims, Family};
use spared_kernel::{FenceState, Kernel};
use spared_tests::lab::Namespace;

use super::SHORT;
use crate::lab::*;

#[test]
fn a_claim_that_changes_keeps_the_lease_and_the_counters() {
    let Some((net, mut kernel)) = installed(claims(&["10.0.0.1/24"], LONG)) else {
        return;
    };
    kernel.grant_lease("office").unwrap();
    send(&advert(mac_of(&net, "lan2"), Family::V4, 50, 100)).unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24", "10.0.0.9/24"], LONG))
        .unwrap();
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    assert!(net.pings("10.0.0.1"));
    assert!(net.pings("10.0.0.9"));
    assert_eq!(kernel.counts().fence.adverts, 1);
    kernel
        .claim("office", claims(&["10.0.0.9/24"], LONG))
        .unwrap();
    assert!(!net.output("ip", "addr").contains("10.0.0.1/24"));
    assert!(net.pings("10.0.0.9"));
}

#[test]
fn routers_of_one_group_have_leases_of_their_own() {
    let Some(net) = Net::new() else { return };
    net.add_link("lan3", "peer3");
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers.push(router("lan3", Family::V4, 50));
    claims
        .addresses
        .push(address("lan3", "10.0.1.1/24", Some(1)));
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add 10.0.1.3/24 dev peer3");
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.grant_lease("office").unwrap();
    kernel.install("office").unwrap();
    assert!(net.pings("10.0.0.1") && net.pings("10.0.1.1"));
    kernel.follow("lan3", 0).unwrap();
    let carrier = |kernel: &Kernel| kernel.interface("lan3").unwrap().0.carrier;
    net.station_ip("link set peer3 down");
    drive_until(&mut kernel, |kernel, _| !carrier(kernel));
    assert!(net.pings("10.0.0.1"), "the other interface goes on");
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    // When the carrier is back, only the leases that were revoked for it are granted.
    net.station_ip("link set peer3 up");
    drive_until(&mut kernel, |kernel, _| carrier(kernel));
    assert!(net.ignores("10.0.1.1"), "nobody asked for the lease yet");
    kernel.grant_lease("office").unwrap();
    assert!(net.pings("10.0.1.1"));
}

#[test]
fn frames_of_a_vlan_are_judged_by_the_vlans_own_lease() {
    let Some(net) = Net::new() else { return };
    let vlan = |namespace: &Namespace, parent: &str| {
        let link = format!("ip link add link {parent} name {parent}.5 type vlan id 5");
        namespace.shell(&link).is_ok()
    };
    if !vlan(&net.router, "lan2") || !vlan(&net.station, "peer") {
        return eprintln!("skipped: this kernel has no VLANs");
    }
    net.ip("link set lan2.5 up");
    net.station_ip("link set peer.5 up");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    net.station_ip("addr add fe80::3/64 dev peer.5 nodad");
    let mut kernel = Kernel::open().unwrap();
    for (group, interface) in [("plain", "lan2"), ("tagged", "lan2.5")] {
        let claims = Claims {
            routers: vec![router(interface, Family::V6, 50)],
            addresses: vec![address(interface, "fe80::1/64", Some(0))],
            lease_ns: LONG.as_nanos() as u64,
            ..Claims::default()
        };
        kernel.claim(group, claims).unwrap();
        kernel.install(group).unwrap();
    }
    kernel.grant_lease("tagged").unwrap();
    assert!(net.pings("fe80::1%peer.5"));
    assert!(net.ignores("fe80::1%peer"));
    kernel.revoke_lease("tagged").unwrap();
    kernel.grant_lease("plain").unwrap();
    assert!(net.ignores("fe80::1%peer.5"));
    assert!(net.pings("fe80::1%peer"));
}

#[test]
fn two_groups_on_one_interface_have_leases_and_lease_times_of_their_own() {
    let Some(net) = Net::new() else { return };
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    let mut kernel = Kernel::open().unwrap();
    kernel
        .claim("office", claims(&["10.0.0.1/24"], LONG))
        .unwrap();
    let mut branch = claims(&["10.0.0.9/24"], SHORT);
    branch.routers[0].vrid = 51;
    kernel.claim("branch", branch).unwrap();
    for group in ["office", "branch"] {
        kernel.install(group).unwrap();
        kernel.grant_lease(group).unwrap();
    }
    let mac = mac_of(&net, "lan2");
    let _ = send(&advert(mac, Family::V4, 50, 100));
    let _ = send(&advert(mac, Family::V4, 51, 100));
    std::thread::sleep(SHORT * 2);
    assert_eq!(kernel.fence_status("office"), FenceState::Passing);
    assert_eq!(kernel.fence_status("branch"), FenceState::Blocking);
    assert!(net.pings("10.0.0.1"));
    assert!(net.ignores("10.0.0.9"));
    kernel.release_all(&["office"]);
    assert_eq!(drive_for(&mut kernel, Duration::from_millis(100)), []);
    assert!(net.ignores("10.0.0.1"));
    assert!(!net.output("nft", "list ruleset").contains("10.0.0.1"));
    assert!(net.output("nft", "list ruleset").contains("10.0.0.9"));
}

/// Makes as many groups as there are VRIDs, each with its virtual router and an address.
fn all_vrids() -> Vec<(String, Claims)> {
    let claimed = |vrid: u8| {
        let mut claims = claims(&[&format!("10.0.0.{vrid}/24")], LONG);
        claims.routers[0].vrid = vrid;
        (format!("group{vrid}"), claims)
    };
    (10..=u8::MAX - 1).map(claimed).collect()
}

#[test]
fn hundreds_of_groups_are_claimed_granted_and_revoked_in_one_change_each() {
    let Some(_net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    let mut wanted = all_vrids();
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    // a group that claims what another one has
    let taken = wanted[0].1.clone();
    wanted.push(("second".to_owned(), taken));
    let begun = std::time::Instant::now();
    let mut claimed = kernel.claim_all(wanted);
    let took = [begun.elapsed()];
    let (_, second) = claimed.pop().unwrap();
    assert!(second.unwrap_err().contains("claimed twice"));
    assert!(claimed.iter().all(|(_, result)| result.is_ok()));
    let all: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), false)).collect();
    let mut with_stranger = all.clone();
    with_stranger.push(("nobody's", false));
    let begun = std::time::Instant::now();
    let mut granted = kernel.grant_leases(&with_stranger);
    let took = [took[0], begun.elapsed()];
    let stranger = granted.pop().unwrap();
    assert!(stranger.unwrap_err().contains("no such group"));
    assert!(granted.iter().all(Result::is_ok));
    let states = kernel.fence_states();
    assert!(
        names
            .iter()
            .all(|name| states.of(name) == FenceState::Passing)
    );
    let only: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = std::time::Instant::now();
    kernel.revoke_leases(&only[1..]).unwrap();
    println!(
        "{} groups: claimed in {:?}, granted in {:?}, revoked in {:?}",
        names.len(),
        took[0],
        took[1],
        begun.elapsed()
    );
    let states = kernel.fence_states();
    assert_eq!(states.of(&names[0]), FenceState::Passing);
    assert!(
        names[1..]
            .iter()
            .all(|name| states.of(name) == FenceState::Blocking)
    );
}

#[test]
fn hundreds_of_groups_are_installed_carried_and_removed_in_one_change_each() {
    let Some(net) = Net::new() else { return };
    let mut kernel = Kernel::open().unwrap();
    let wanted = all_vrids();
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let count = names.len();
    kernel.claim_all(wanted);
    let all: Vec<(&str, bool)> = names.iter().map(|name| (*name, false)).collect();
    kernel.grant_leases(&all);
    let addresses = |net: &Net| net.output("ip", "addr").matches("inet 10.0.0.").count();
    let before = addresses(&net);
    // time of a change for one group, and for all others together
    let mut compare = |what: &str, change: &mut dyn FnMut(&mut Kernel, &[&str])| {
        let begun = std::time::Instant::now();
        change(&mut kernel, &names[..1]);
        let one = begun.elapsed();
        let begun = std::time::Instant::now();
        change(&mut kernel, &names[1..]);
        let others = begun.elapsed();
        println!("{count} groups {what} in {others:?}, one in {one:?}");
        (one, others)
    };
    compare("installed", &mut |kernel, names| {
        let installed = kernel.install_all(names);
        assert!(
            installed
                .iter()
                .all(|it| it.as_ref().unwrap().failures.is_empty())
        );
    });
    assert_eq!(addresses(&net), before + count);
    let (one, others) = compare("carried", &mut |kernel, names| {
        kernel.carry_leases(names).unwrap();
    });
    assert!(
        others < one * count as u32 / 3,
        "{others:?}, {one:?} for one"
    );
    let (one, others) = compare("ended", &mut |kernel, names| {
        kernel.end_carries(names).unwrap();
        assert!(kernel.remove_all(names).is_empty());
    });
    assert!(
        others < one * count as u32 / 3,
        "{others:?}, {one:?} for one"
    );
    assert_eq!(addresses(&net), before);
    let (one, others) = compare("released", &mut |kernel, names| kernel.release_all(names));
    assert!(
        others < one * count as u32 / 3,
        "{others:?}, {one:?} for one"
    );
    assert!(!net.output("nft", "list ruleset").contains("group"));
}
