//! Checks that the kernel has a route to an address, and the route's origin.

use spared_netlink::Requests;

use crate::config::{Protocol, Route};
use crate::engine::Finding;

pub(super) fn read(route: Route) -> Finding {
    let asked = Requests::open().and_then(|mut requests| requests.route_to(route.to));
    let found = match asked {
        Ok(Some(found)) => found,
        Ok(None) => return Finding::failed("there is no route"),
        Err(error) => return Finding::failed(format!("cannot be looked up: {error}")),
    };
    let protocol = Protocol(found.protocol);
    let words = format!("{}/{} by {protocol}", found.destination, found.prefix);
    match route.protocol {
        Some(wanted) if wanted != protocol => {
            Finding::failed(format!("there is no route by {wanted}, only {words}"))
        }
        _ => Finding::good(words),
    }
}
