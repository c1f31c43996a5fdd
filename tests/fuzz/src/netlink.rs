//! Whatever the kernel answers or notifies: no datagram panics, none has more in it than its bytes, and a route
//! that was read can be written and is the same one.

use std::net::{IpAddr, Ipv6Addr};

use spared_netlink::constants::{IFLA_CARRIER, IFLA_IFALIAS, IFLA_INFO_KIND, IFLA_LINKINFO};
use spared_netlink::{
    Event, Message, Route, attributes, messages, put, put_nested, put_text, text, u32_of, u64_be,
};

const HEADER: usize = 16;
/// Headers of messages, before their attributes.
const ROUTE: usize = 12;
const LINK: usize = 16;
const ADDRESS: usize = 8;
/// Nests deeper than the kernel's.
const DEPTH_MAX: u32 = 4;

pub fn run(datagram: &[u8]) {
    let mut read = 0;
    for (header, payload) in messages(datagram) {
        read += HEADER + payload.len();
        for skipped in [0, 4, ADDRESS, ROUTE, LINK] {
            walk(payload.get(skipped..).unwrap_or_default(), DEPTH_MAX);
        }
        match Event::parse(header.kind, payload) {
            Some(Event::Route(route) | Event::RouteGone(route)) => rewrite(&route),
            Some(Event::Address(found) | Event::AddressGone(found)) => {
                let (index, address, prefix) = (found.index, found.address, found.prefix);
                assert!(Message::add_address(index, address, prefix, found.is_ours()).is_ok());
                assert!(Message::delete_address(index, address, prefix).is_ok());
            }
            Some(Event::Link(link) | Event::LinkGone(link)) => {
                assert!(link.name.len() <= 3 * payload.len());
            }
            Some(Event::RuleGone(rule)) => {
                assert!(rule.iif.len() + rule.oif.len() <= 3 * payload.len());
            }
            Some(Event::LocalRouteGone(_) | Event::Forwarding(_) | Event::ForwardingGone(_))
            | None => {}
        }
    }
    assert!(read <= datagram.len());
}

fn walk(bytes: &[u8], depth: u32) {
    for (_, value) in attributes(bytes) {
        let _ = (u32_of(value), u64_be(value), text(value));
        if depth > 0 {
            walk(value, depth - 1);
        }
    }
}

fn rewrite(route: &Route) {
    assert!(Message::delete_route(route).is_ok());
    let Ok(message) = Message::add_route(route) else {
        panic!("{route:?} cannot be written");
    };
    // what the kernel says of no table and no destination is never this
    if route.table != 0 && (route.prefix > 0 || route.destination.is_unspecified()) {
        assert_eq!(Route::parse(&message.bytes()[HEADER..]), Some(*route));
    }
}

/// Links, addresses and routes as the kernel lists them, the programs' own requests, and verdicts.
pub fn seeds() -> Vec<Vec<u8>> {
    let address: IpAddr = [192, 0, 2, 1].into();
    let route = Route {
        destination: [198, 51, 100, 0].into(),
        prefix: 24,
        gateway: Some(address),
        index: Some(3),
        source: Some(address),
        metric: 7,
        table: 1000,
        protocol: 213,
        scope: 0,
    };
    let v6 = Route {
        destination: Ipv6Addr::LOCALHOST.into(),
        prefix: 128,
        gateway: None,
        source: None,
        ..route
    };
    let requests = [
        Message::add_route(&route),
        Message::delete_route(&route),
        Message::add_missing_route(&v6),
        Message::add_address(3, address, 24, false),
        Message::add_address(3, Ipv6Addr::LOCALHOST.into(), 64, true),
        Message::delete_address(3, address, 24),
        Message::create_macvlan(3, "vrrp4-50", [0, 0, 0x5e, 0, 1, 50]),
        Message::set_alias(3),
        Message::set_address_generation_none(3),
        Message::set_up(3, true),
        Message::delete_link(3),
    ];
    let mut seeds: Vec<Vec<u8>> = requests
        .iter()
        .flatten()
        .map(|it| it.bytes().to_vec())
        .collect();
    seeds.push(link());
    let all = seeds
        .iter()
        .map(|message| padded(message))
        .collect::<Vec<_>>()
        .concat();
    seeds.push(all);
    for (kind, errno) in [(2, 0), (2, -17), (3, 0), (2, i32::MIN)] {
        seeds.push(
            Message::request(kind, 2, &i32::to_ne_bytes(errno))
                .bytes()
                .to_vec(),
        );
    }
    seeds
}

/// RTM_NEWLINK of a macvlan.
fn link() -> Vec<u8> {
    let mut payload = [0, 1, 3, 0x1043].map(u32::to_ne_bytes).concat();
    put_text(&mut payload, 3, "lan1");
    put(&mut payload, 1, &[2, 0, 0, 0, 0, 1]);
    put(&mut payload, 4, &1500_u32.to_ne_bytes());
    put(&mut payload, 5, &2_u32.to_ne_bytes());
    put(&mut payload, IFLA_CARRIER, &[1]);
    put_text(&mut payload, IFLA_IFALIAS, "spared");
    put_nested(&mut payload, IFLA_LINKINFO, |info| {
        put_text(info, IFLA_INFO_KIND, "macvlan");
        put_nested(info, 2, |data| put(data, 1, &4_u32.to_ne_bytes()));
    });
    Message::request(16, 0, &payload).bytes().to_vec()
}

fn padded(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message.resize(message.len().next_multiple_of(4), 0);
    message
}
