//! Interfaces and routes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use spared_netlink::constants::FOLLOWING_ROUTE_PROTOCOL;
use spared_netlink::{Link, Message, Requests, Route as KernelRoute};

use super::routes::Routes;
use super::setting;
use crate::job::Route;

const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const EEXIST: i32 = 17;
const ESRCH: i32 = 3;
const ENODEV: i32 = 19;

/// # Errors
/// The reason as a sentence.
pub(super) fn set_link(interface: &str, up: bool) -> Result<(), String> {
    let mut requests = open()?;
    let link = link(&mut requests, interface)?;
    if link.up == up {
        return Ok(());
    }
    set(&mut requests, &link, up)
}

/// Sets an interface down, and returns the routes that it loses; None if it was down already, and so is not
/// set up again. Its IPv6 addresses stay, unless they expire.
///
/// # Errors
/// The reason as a sentence.
pub(super) fn take_down(interface: &str, before: impl FnOnce()) -> Result<Option<Routes>, String> {
    let mut requests = open()?;
    let link = link(&mut requests, interface)?;
    if !link.up {
        return Ok(None);
    }
    before();
    let routes = Routes::of(&mut requests, link.index);
    keep_addresses(interface, || set(&mut requests, &link, false))?;
    Ok(Some(routes))
}

/// Runs a function during which an interface keeps its IPv6 addresses. Without IPv6 there are none; if the setting to
/// keep them was switched off by others, they are lost.
fn keep_addresses<T>(interface: &str, run: impl FnOnce() -> T) -> T {
    let key = format!("net/ipv6/conf/{interface}/keep_addr_on_down");
    let set = |value| {
        let set = setting::write(Path::new("/"), &key, value);
        set.unwrap_or_else(|why| log::warn!("{why}"));
    };
    let is_default = setting::read(Path::new("/"), &key).is_some_and(|now| now == "0");
    if is_default {
        set("1");
    }
    let result = run();
    if is_default {
        set("0");
    }
    result
}

fn set(requests: &mut Requests, link: &Link, up: bool) -> Result<(), String> {
    let word = if up { "up" } else { "down" };
    let message = Message::set_up(link.index, up);
    requests
        .run_one(message)
        .map_err(|error| format!("{} cannot be set {word}: {error}", link.name))
}

/// Adds a route, or deletes it if spared added it: the same route of another program stays.
///
/// # Errors
/// The reason as a sentence.
pub(super) fn set_route(route: &Route, present: bool) -> Result<(), String> {
    let mut requests = open()?;
    let index = match (&route.interface, present) {
        (Some(name), true) => Some(link(&mut requests, name)?.index),
        (Some(name), false) => match link(&mut requests, name) {
            Ok(link) => Some(link.index),
            // the route has gone with its interface
            Err(_) => return Ok(()),
        },
        (None, _) => None,
    };
    let route = encode(route, index);
    let (message, harmless, verb) = if present {
        (Message::add_route(&route), [EEXIST, EEXIST], "added")
    } else {
        (Message::delete_route(&route), [ESRCH, ENODEV], "deleted")
    };
    match requests.run_one(message) {
        Err(error)
            if !error
                .raw_os_error()
                .is_some_and(|it| harmless.contains(&it)) =>
        {
            Err(format!(
                "route {}/{} cannot be {verb}: {error}",
                route.destination, route.prefix
            ))
        }
        _ => Ok(()),
    }
}

/// Deletes routes that are not in `kept`: a process that was killed left them, and no configuration has them
/// any more.
///
/// # Errors
/// The reason as a sentence.
pub(super) fn delete_other_routes(kept: &[Route]) -> Result<(), String> {
    let mut requests = open()?;
    let there = requests.routes(Some(FOLLOWING_ROUTE_PROTOCOL), None);
    let there = there.map_err(|error| format!("routes: {error}"))?;
    let links = requests.links().unwrap_or_default();
    let kept: Vec<KernelRoute> = kept
        .iter()
        .map(|route| {
            let name = route.interface.as_ref();
            let link = name.and_then(|name| links.iter().find(|link| link.name == *name));
            encode(route, link.map(|link| link.index))
        })
        .collect();
    for route in there
        .iter()
        .filter(|route| !kept.iter().any(|it| is_same_route(route, it)))
    {
        // the route may have gone with its interface meanwhile
        let _ = requests.run_one(Message::delete_route(route));
    }
    Ok(())
}

/// True if a route is the wanted one: the kernel has chosen the values that were not given (an interface, a metric).
fn is_same_route(there: &KernelRoute, wanted: &KernelRoute) -> bool {
    const MAIN: u32 = 254;
    (there.destination, there.prefix) == (wanted.destination, wanted.prefix)
        && there.gateway == wanted.gateway
        && (wanted.index.is_none() || there.index == wanted.index)
        && (wanted.metric == 0 || there.metric == wanted.metric)
        && there.table
            == if wanted.table == 0 {
                MAIN
            } else {
                wanted.table
            }
}

fn encode(route: &Route, index: Option<u32>) -> KernelRoute {
    let (destination, prefix) = route.destination.unwrap_or_else(|| {
        let family = route.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        match family {
            IpAddr::V4(_) => (IpAddr::from([0; 4]), 0),
            IpAddr::V6(_) => (IpAddr::from([0; 16]), 0),
        }
    });
    // a next hop must have a narrower scope than its route; IPv6 has no scopes
    let scope = if destination.is_ipv4() && route.gateway.is_none() {
        SCOPE_LINK
    } else {
        SCOPE_UNIVERSE
    };
    KernelRoute {
        destination,
        prefix,
        gateway: route.gateway,
        index,
        source: None,
        metric: route.metric.unwrap_or(0),
        table: route.table.unwrap_or(0),
        protocol: FOLLOWING_ROUTE_PROTOCOL,
        scope,
    }
}

fn open() -> Result<Requests, String> {
    Requests::open().map_err(|error| format!("rtnetlink: {error}"))
}

fn link(requests: &mut Requests, interface: &str) -> Result<Link, String> {
    let links = requests
        .links()
        .map_err(|error| format!("interfaces: {error}"))?;
    let found = links.into_iter().find(|link| link.name == interface);
    found.ok_or_else(|| format!("there is no interface {interface}"))
}
