//! Static routes of an interface, which the kernel deletes when the interface is set down.

use spared_netlink::{Message, Requests, Route, attributes, put};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const RTA_OIF: u16 = 4;
const RTA_CACHEINFO: u16 = 12;
const RTA_NH_ID: u16 = 30;
const RTNH_F_ONLINK: u32 = 4;
const EEXIST: i32 = 17;

/// RTPROT_BOOT and RTPROT_STATIC. A routing daemon notices the interface going down and up, and alone knows which of
/// its routes it still wants.
const STATIC: [u8; 2] = [3, 4];

/// Routes as the kernel reported them, with all attributes.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Vec<u8>>);

impl Routes {
    /// Routes through an interface.
    pub(super) fn of(requests: &mut Requests, index: u32) -> Self {
        let mut found = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut query = vec![family];
            query.resize(12, 0);
            put(&mut query, RTA_OIF, &index.to_ne_bytes());
            let query = Message::dump(RTM_GETROUTE, &query);
            let told = requests.dump(query, |kind, payload| {
                if kind == RTM_NEWROUTE && is_kept(payload, index) {
                    found.extend(add_request(payload));
                }
            });
            // a kernel without IPv6 does not support its dump
            if let (Err(error), AF_INET) = (told, family) {
                log::warn!("routes of interface {index}: {error}");
            }
        }
        Self(found)
    }

    pub(super) fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Restores the missing routes; returns the number of those that cannot be restored yet. An IPv6 address cannot be
    /// the source of a route while the kernel checks it for duplicates.
    pub(super) fn restore(&mut self) -> usize {
        let Ok(mut requests) = Requests::open() else {
            return self.0.len();
        };
        let mut is_refused = |route: &Vec<u8>| {
            let flags = NLM_F_CREATE | NLM_F_APPEND;
            let message = Message::request(RTM_NEWROUTE, flags, route);
            let added = requests.run_one(Ok(message));
            added.is_err_and(|error| error.raw_os_error() != Some(EEXIST))
        };
        // again as long as it helps: a route by a gateway needs the route to that gateway
        loop {
            let before = self.0.len();
            self.0.retain(&mut is_refused);
            if self.0.is_empty() || self.0.len() == before {
                return self.0.len();
            }
        }
    }
}

/// True for a route that can be restored. With several next hops the kernel keeps the others. A route that expires, or
/// uses a next hop object, cannot be restored from its dump.
fn is_kept(payload: &[u8], index: u32) -> bool {
    let fits = |route: Route| route.index == Some(index) && STATIC.contains(&route.protocol);
    let lasts = |(kind, value): (u16, &[u8])| match kind {
        RTA_NH_ID => false,
        RTA_CACHEINFO => value.get(8..12) == Some(&[0; 4]),
        _ => true,
    };
    let rest = payload.get(12..).unwrap_or_default();
    Route::parse(payload).is_some_and(fits) && attributes(rest).all(lasts)
}

/// Request to add a route that the kernel reported: without the flags of its state.
fn add_request(told: &[u8]) -> Option<Vec<u8>> {
    let mut route = told.to_vec();
    let flags = route.get_mut(8..12)?;
    let asked = u32::from_ne_bytes(flags.try_into().ok()?) & RTNH_F_ONLINK;
    flags.copy_from_slice(&asked.to_ne_bytes());
    Some(route)
}
