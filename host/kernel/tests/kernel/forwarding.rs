//! Tests the settings of forwarding that the claimed addresses need.

use std::time::Duration;

use spared_contract::{Claims, Family};
use spared_kernel::{Kernel, KernelEvent};

use crate::lab::*;

const LONG: Duration = Duration::from_secs(30);

/// Makes a router that forwards, with addresses of both families on `lan2`, and on `wan2` if
/// `is_router` is true.
fn kernel_on(net: &Net, is_router: bool) -> Kernel {
    net.add_link("wan2", "peer2");
    set(net, "net/ipv4/ip_forward", true);
    set(net, "net/ipv6/conf/all/forwarding", true);
    let mut claims = claims(&["10.0.0.1/24", "2001:db8::1/64"], LONG);
    if is_router {
        add_router(&mut claims, "10.1.0.1/24", Family::V4);
        add_router(&mut claims, "2001:db8:1::1/64", Family::V6);
    }
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    drive_for(&mut kernel, Duration::from_millis(30));
    kernel
}

/// Adds a virtual router on `wan2`, with an address.
fn add_router(claims: &mut Claims, text: &str, family: Family) {
    let of = claims.routers.len() as u32;
    claims.routers.push(router("wan2", family, 51));
    claims.addresses.push(address("wan2", text, Some(of)));
}

fn set(net: &Net, setting: &str, is_on: bool) {
    let value = if is_on { "1" } else { "0" };
    net.router.set(&[(setting, value)]).unwrap();
}

#[test]
fn each_setting_that_is_off_is_told_and_named_until_it_is_on() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net, true);
    assert_eq!(kernel.not_forwarding(), [""; 0]);
    for (path, name) in [
        ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        (
            "net/ipv4/conf/wan2/forwarding",
            "net.ipv4.conf.wan2.forwarding",
        ),
        (
            "net/ipv6/conf/all/forwarding",
            "net.ipv6.conf.all.forwarding",
        ),
    ] {
        for is_on in [false, true] {
            set(&net, path, is_on);
            drive_until(&mut kernel, |kernel, events| {
                let is_told = events.contains(&KernelEvent::Forwarding);
                let off = kernel.not_forwarding();
                is_told && off == if is_on { vec![] } else { vec![name.to_owned()] }
            });
        }
    }
    // a kernel that is opened later finds it at its start
    set(&net, "net/ipv4/ip_forward", false);
    drop(kernel);
    assert_eq!(found_at_start(), ["net.ipv4.ip_forward"]);
}

/// Returns the settings that a kernel opened now finds to be 0.
fn found_at_start() -> Vec<String> {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    add_router(&mut claims, "10.1.0.1/24", Family::V4);
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    kernel.not_forwarding()
}

#[test]
fn an_interface_that_is_made_again_is_judged_by_its_new_settings() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net, true);
    let wan = "net.ipv4.conf.wan2.forwarding";
    set(&net, "net/ipv4/conf/wan2/forwarding", false);
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding() == [wan]);
    net.ip("link del wan2");
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding().is_empty());
    set(&net, "net/ipv4/conf/default/forwarding", false);
    net.add_link("wan2", "peer2");
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding() == [wan]);
    // a renamed interface is not claimed, so its setting does not count
    net.ip("link set wan2 down");
    net.ip("link set wan2 name attic");
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding().is_empty());
    net.ip("link set attic name wan2");
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding() == [wan]);
}

#[test]
fn the_device_of_a_virtual_mac_has_to_forward_too() {
    let Some(net) = Net::new() else { return };
    net.add_link("wan2", "peer2");
    set(&net, "net/ipv4/ip_forward", true);
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = true;
    add_router(&mut claims, "10.1.0.1/24", Family::V4);
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    let setting = "net/ipv4/conf/vrrp50.lan2/forwarding";
    drive_until(&mut kernel, |_, _| {
        net.router.set(&[(setting, "1")]).is_ok()
    });
    assert_eq!(kernel.not_forwarding(), [""; 0]);
    set(&net, setting, false);
    let wanted = ["net.ipv4.conf.vrrp50/lan2.forwarding"];
    drive_until(&mut kernel, |kernel, _| kernel.not_forwarding() == wanted);
}

#[test]
fn a_node_with_addresses_on_one_interface_need_not_forward() {
    let Some(net) = Net::new() else { return };
    let mut kernel = kernel_on(&net, false);
    set(&net, "net/ipv4/ip_forward", false);
    set(&net, "net/ipv6/conf/all/forwarding", false);
    let events = drive_for(&mut kernel, Duration::from_millis(100));
    assert!(!events.contains(&KernelEvent::Forwarding));
    assert_eq!(kernel.not_forwarding(), [""; 0]);
}
