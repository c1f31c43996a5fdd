//! Tests routes of groups whose gateways are in networks that only a virtual address provides.

use spared_contract::{Claims, RouteClaim};
use spared_kernel::Kernel;

use super::lab::{LONG, Net, OneGroup, address, claims, drive_until, router};

fn default_route(gateway: &str) -> RouteClaim {
    let gateway: std::net::IpAddr = gateway.parse().unwrap();
    RouteClaim {
        destination: if gateway.is_ipv4() { "0.0.0.0" } else { "::" }
            .parse()
            .unwrap(),
        prefix: 0,
        gateway: Some(gateway),
        interface: Some("lan2".to_owned()),
        source: None,
        metric: 0,
        table: 0,
    }
}

/// Claims of addresses in networks in which the node has no address of its own, each on a virtual-MAC device.
fn lone_networks() -> Claims {
    let mut claims = claims(&["198.51.100.1/24", "2001:db8:7::1/64"], LONG);
    for router in &mut claims.routers {
        router.vmac = true;
    }
    claims
}

fn routes(net: &Net) -> String {
    ["route show proto 213", "-6 route show proto 213"]
        .map(|words| net.output("ip", words))
        .concat()
}

#[test]
fn a_gateway_in_a_network_that_only_the_virtual_address_gives_is_reached() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut claims = lone_networks();
    claims.routes.push(default_route("198.51.100.9"));
    claims.routes.push(default_route("2001:db8:7::9"));
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("office", claims).unwrap();
    for _ in 0..2 {
        kernel.grant_lease("office").unwrap();
        let installed = kernel.install("office").unwrap();
        assert!(
            installed.route_failures.is_empty(),
            "{:?}",
            installed.route_failures
        );
        let shown = routes(&net);
        assert!(
            shown.contains("default via 198.51.100.9 dev lan2"),
            "{shown}"
        );
        assert!(
            shown.contains("default via 2001:db8:7::9 dev lan2"),
            "{shown}"
        );
        assert_eq!(kernel.missing_routes("office"), []);
        let left = kernel.remove("office");
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(routes(&net), "");
    }
}

/// The route is set within the 5 s for which `drive_until` waits, not at the next retry, which comes every 10 s.
#[test]
fn a_gateway_in_the_network_of_another_group_is_reached_as_soon_as_that_is_there() {
    let Some(net) = Net::new() else { return };
    net.ip("addr add 10.0.0.2/24 dev lan2");
    let mut uplink = claims(&["10.0.0.1/24"], LONG);
    uplink.routes.push(default_route("198.51.100.9"));
    let mut kernel = Kernel::open().unwrap();
    kernel.claim("uplink", uplink).unwrap();
    let mut branch = lone_networks();
    branch.routers.truncate(1);
    branch.routers[0] = router("lan2", branch.routers[0].family, 51);
    branch.routers[0].vmac = true;
    branch.addresses = vec![address("lan2", "198.51.100.1/24", Some(0))];
    kernel.claim("branch", branch).unwrap();
    for group in ["uplink", "branch"] {
        kernel.grant_lease(group).unwrap();
        kernel.install(group).unwrap();
    }
    drive_until(&mut kernel, |kernel, _| {
        kernel.missing_routes("uplink").is_empty()
    });
    assert!(
        routes(&net).contains("default via 198.51.100.9"),
        "{}",
        routes(&net)
    );
}
