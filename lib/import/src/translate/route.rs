//! Entries of `virtual_routes`.

use std::fmt::Write;
use std::net::IpAddr;

use spared_config_reader::{IpNet, toml_text};

use super::address::{address, is_device, is_link_local};
use super::taken::{Once, Taken};
use super::{Both, LOOK, Translation};
use crate::toml::{Each, each};
use crate::tree::Statement;

/// Number of the main table, which a route without one is in.
const MAIN: u32 = 254;

#[derive(Default)]
struct Route {
    destination: Option<String>,
    is_ipv6: bool,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    metric: Option<u32>,
    table: Option<u32>,
    /// The carrier of its interface does not count.
    is_blind: bool,
}

impl Route {
    /// Destination, if all addresses are of one family.
    fn network(&self) -> Option<IpNet> {
        let destination = self.destination.as_deref()?;
        let named = address(destination);
        let addresses = [self.gateway, self.source];
        let mut is_ipv6 = addresses.iter().flatten().map(IpAddr::is_ipv6);
        let is_ipv6 = match named {
            Some(net) => net.addr().is_ipv6(),
            None => self.is_ipv6 || is_ipv6.next().unwrap_or(false),
        };
        let is_fitting = addresses.iter().flatten().all(|it| it.is_ipv6() == is_ipv6);
        let everything = if is_ipv6 { "::/0" } else { "0.0.0.0/0" };
        // the kernel refuses host bits
        let net = named.or_else(|| address(everything))?.trunc();
        is_fitting.then_some(net)
    }
}

impl Translation<'_> {
    /// `[[group.route]]` of an instance, and the interfaces that they name.
    pub(super) fn routes(
        &mut self,
        both: &Both<'_>,
        devices: &mut Vec<String>,
        taken: &mut Taken,
    ) -> String {
        let mut text = String::new();
        for entry in self.entries(both, without_device) {
            let interfaces = of_both(entry.map(|it| it.and_then(|it| device(it, &["dev", "oif"]))));
            let written = self.route(&entry).filter(|route| {
                self.write_route(&mut text, &entry, route, interfaces.as_ref(), taken)
                    .is_some()
            });
            if written.is_some_and(|it| !it.is_blind) {
                devices.extend(interfaces.into_iter().flatten());
            }
        }
        text
    }

    fn route(&mut self, entry: &Both<'_>) -> Option<Route> {
        let statement = entry[0].or(entry[1])?;
        let mut route = Route::default();
        let mut words = statement.words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let is_read = match word {
                "to" | "inet" => true,
                "no_track" => {
                    route.is_blind = true;
                    true
                }
                "inet6" => {
                    route.is_ipv6 = true;
                    true
                }
                "via" | "gw" => {
                    let value = words.by_ref().find(|it| !matches!(*it, "inet" | "inet6"));
                    read(&mut route.gateway, value)
                }
                "src" | "from" => read(&mut route.source, words.next()),
                "metric" | "priority" | "preference" => read(&mut route.metric, words.next()),
                "table" => {
                    route.table = self.table(entry, words.next().unwrap_or_default());
                    // of the main table no number is written
                    route.table = Some(route.table?).filter(|it| *it != MAIN);
                    true
                }
                "dev" | "oif" => words.next().is_some(),
                // without them it would be another route; `pref` is of IPv6
                "proto" | "track_group" | "pref" if word != "pref" || !is_ipv6(statement) => {
                    let why = format!(
                        "keepalived does not know {word} here and drops the route: it is not in the files"
                    );
                    self.list_both(
                        entry,
                        &why,
                        "take it out, or correct it on both nodes and import again",
                    );
                    return None;
                }
                "blackhole" | "unreachable" | "prohibit" | "throw" | "nexthop" | "or" | "encap"
                | "tos" | "dsfield" | "onlink" => false,
                word if route.destination.is_none()
                    && (word == "default" || address(word).is_some()) =>
                {
                    route.destination = Some(word.to_owned());
                    true
                }
                option => {
                    let what = format!("{option} of a route");
                    let why =
                        "spared's routes have no such option; the route itself is in the files";
                    self.advise_on(entry, &what, why, LOOK);
                    let value = (!OPTIONS_ALONE.contains(&option)).then(|| words.next());
                    // `mtu lock 1400`: the kernel may not lower the value
                    if value.flatten() == Some("lock") {
                        words.next();
                    }
                    true
                }
            };
            if !is_read {
                let why = "a route has one gateway or interface, and neither a type nor `tos` nor `onlink`";
                let todo = "add it by a hook in active.d, and remove it in backup.d";
                self.list_both(entry, why, todo);
                return None;
            }
        }
        Some(route)
    }

    fn write_route(
        &mut self,
        text: &mut String,
        entry: &Both<'_>,
        route: &Route,
        interfaces: Option<&Each<String>>,
        taken: &mut Taken,
    ) -> Option<()> {
        let fits = interfaces.is_none_or(|it| it.iter().all(|it| is_device(it)));
        let leads = match route.gateway {
            Some(gateway) => !is_link_local(gateway) || interfaces.is_some(),
            None => interfaces.is_some(),
        };
        let Some(network) = route.network().filter(|_| fits && leads) else {
            let why = "it has no destination, or neither gateway nor interface, or both families";
            self.list_both(entry, why, "write a `[[group.route]]`");
            return None;
        };
        let (table, metric) = (route.table.unwrap_or(0), route.metric.unwrap_or(0));
        let once = [(); 2].map(|()| Once::Route(network, table, metric));
        if !taken.take(&self.taken, once) {
            let why = "there is a route to it with this metric already";
            self.list_both(entry, why, "nothing, or another `metric` for one of them");
            return None;
        }
        let _ = write!(text, "\n[[group.route]]\ndestination = \"{network}\"\n");
        if let Some(gateway) = route.gateway {
            let _ = writeln!(text, "gateway = \"{gateway}\"");
        }
        if let Some(interfaces) = interfaces {
            let interfaces = interfaces.each_ref().map(|it| toml_text(it));
            let _ = writeln!(text, "interface = {}", each(self.nodes, &interfaces));
        }
        if let Some(source) = route.source {
            let _ = writeln!(text, "source = \"{source}\"");
        }
        if route.is_blind && interfaces.is_some() {
            *text += "weight = 0\n";
        }
        for (key, value) in [("metric", route.metric), ("table", route.table)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        Some(())
    }

    /// Number of a routing table.
    pub(super) fn table(&mut self, entry: &Both<'_>, name: &str) -> Option<u32> {
        let number = match name {
            "main" => Some(MAIN),
            "default" => Some(253),
            "local" => Some(255),
            name => name.parse().ok(),
        };
        if number.is_none() {
            let why = format!(
                "the number of table {name} is in /etc/iproute2/rt_tables, which is not read"
            );
            self.list_both(entry, &why, "write `table NUMBER`, and import again");
        }
        number
    }
}

/// Options of a route without a value.
const OPTIONS_ALONE: [&str; 4] = ["add", "append", "prepend", "pervasive"];

/// True for an entry with a word of IPv6.
fn is_ipv6(statement: &Statement) -> bool {
    let mut words = statement.words.iter();
    words.any(|it| it == "inet6" || it.contains(':'))
}

/// Reads the value of an option; false if it is none.
pub fn read<T: std::str::FromStr>(value: &mut Option<T>, word: Option<&str>) -> bool {
    *value = word.and_then(|it| it.parse().ok());
    value.is_some()
}

pub fn device(statement: &Statement, options: &[&str]) -> Option<String> {
    let words = &statement.words;
    let at = words.iter().position(|it| options.contains(&it.as_str()))?;
    words.get(at + 1).cloned()
}

/// The text of an entry but for its interfaces, which may differ by node.
pub fn without_device(statement: &Statement) -> String {
    let mut words = statement.words.iter().map(String::as_str);
    let mut found = String::new();
    while let Some(word) = words.next() {
        if matches!(word, "dev" | "oif" | "iif") {
            words.next();
        } else {
            found = found + word + " ";
        }
    }
    found
}

/// Values of both nodes; that of one alone counts for both.
pub fn of_both<T: Clone>(values: Each<Option<T>>) -> Option<Each<T>> {
    match values {
        [Some(one), Some(two)] => Some([one, two]),
        [Some(one), None] | [None, Some(one)] => Some([one.clone(), one]),
        [None, None] => None,
    }
}
