//! Entries of `virtual_routes` and `virtual_rules`.

use std::fmt::Write;
use std::net::IpAddr;

use spared_config_reader::{IpNet, toml_text};

use super::address::address;
use super::{Both, Translation};
use crate::toml::{Each, each};
use crate::tree::Statement;

/// Greatest priority that a rule without one gets.
const PRIORITY: u32 = 30_000;

#[derive(Default)]
struct Route {
    destination: Option<String>,
    gateway: Option<IpAddr>,
    has_device: bool,
    source: Option<IpAddr>,
    metric: Option<u32>,
    table: Option<u32>,
}

impl Translation<'_> {
    /// `[[group.route]]` of an instance, and the interfaces that they name.
    pub(super) fn routes(&mut self, both: &Both<'_>, devices: &mut Vec<String>) -> String {
        let mut text = String::new();
        for entry in self.entries(both, without_device) {
            let Some(statement) = entry[0].or(entry[1]) else {
                continue;
            };
            let Some(route) = self.route(statement) else {
                continue;
            };
            let interfaces = entry.map(|it| it.and_then(|it| device(it, &["dev", "oif"])));
            devices.extend(interfaces.iter().flatten().cloned());
            self.write_route(&mut text, &route, interfaces);
        }
        text
    }

    fn route(&mut self, statement: &Statement) -> Option<Route> {
        let mut route = Route::default();
        let mut words = statement.words.iter().map(|it| it.text.as_str());
        while let Some(word) = words.next() {
            match word {
                "to" => {}
                "via" | "gw" => route.gateway = words.next().and_then(|it| it.parse().ok()),
                "dev" | "oif" => route.has_device = words.next().is_some(),
                "src" | "from" => route.source = words.next().and_then(|it| it.parse().ok()),
                "metric" | "priority" | "preference" => {
                    route.metric = words.next().and_then(|it| it.parse().ok());
                }
                "table" => route.table = self.table(statement, words.next().unwrap_or_default()),
                "no_track" | "inet" | "inet6" => {}
                // the kernel derives the scope, and the origin is for those who list routes
                "scope" | "proto" | "protocol" => {
                    words.next();
                }
                "blackhole" | "unreachable" | "prohibit" | "throw" | "nexthop" | "or" | "encap" => {
                    let why = "a route has a gateway or an interface, and one of them";
                    let todo = "add it by a hook in active.d, and remove it in backup.d";
                    self.list(statement, why, todo);
                    return None;
                }
                word if route.destination.is_none()
                    && (word == "default" || address(word).is_some()) =>
                {
                    route.destination = Some(word.to_owned());
                }
                option => {
                    let what = format!("{option} of a route");
                    let why =
                        "spared's routes have no such option; the route itself is in the files";
                    let todo = "look whether anything needs it";
                    self.sources.advise(statement.place, &what, why, todo);
                    if !OPTIONS_ALONE.contains(&option) {
                        words.next();
                    }
                }
            }
        }
        if route.destination.is_none() || (route.gateway.is_none() && !route.has_device) {
            let why = "it has no destination, or neither gateway nor interface";
            self.list(statement, why, "write a `[[group.route]]`");
            return None;
        }
        Some(route)
    }

    fn write_route(&self, text: &mut String, route: &Route, interfaces: Each<Option<String>>) {
        let Some(destination) = &route.destination else {
            return;
        };
        let is_ipv6 = match (route.gateway, address(destination)) {
            (_, Some(net)) => net.addr().is_ipv6(),
            (Some(gateway), None) => gateway.is_ipv6(),
            (None, None) => false,
        };
        let destination = match address(destination) {
            Some(net) => network(net),
            None if is_ipv6 => "::/0".to_owned(),
            None => "0.0.0.0/0".to_owned(),
        };
        let _ = write!(
            text,
            "\n[[group.route]]\ndestination = {}\n",
            toml_text(&destination)
        );
        if let Some(gateway) = route.gateway {
            let _ = writeln!(text, "gateway = \"{gateway}\"");
        }
        if let Some(interfaces) = of_both(interfaces) {
            let interfaces = interfaces.map(|it| toml_text(&it));
            let _ = writeln!(text, "interface = {}", each(self.nodes, &interfaces));
        }
        if let Some(source) = route.source {
            let _ = writeln!(text, "source = \"{source}\"");
        }
        for (key, value) in [("metric", route.metric), ("table", route.table)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
    }

    /// Number of a routing table.
    fn table(&mut self, statement: &Statement, name: &str) -> Option<u32> {
        let number = match name {
            "main" => return None,
            "default" => Some(253),
            "local" => Some(255),
            name => name.parse().ok(),
        };
        if number.is_none() {
            let why = format!(
                "the number of table {name} is in /etc/iproute2/rt_tables, which is not read"
            );
            self.list(statement, &why, "write `table = NUMBER`");
        }
        number
    }

    /// `[[group.rule]]` of an instance.
    pub(super) fn rules(&mut self, both: &Both<'_>) -> String {
        let mut text = String::new();
        let mut next = PRIORITY;
        for entry in self.entries(both, without_device) {
            let Some(statement) = entry[0].or(entry[1]) else {
                continue;
            };
            let lines = self.rule(statement, &entry, &mut next);
            if let Some(lines) = lines {
                let _ = write!(text, "\n[[group.rule]]\n{lines}");
            }
        }
        text
    }

    fn rule(&mut self, statement: &Statement, entry: &Both<'_>, next: &mut u32) -> Option<String> {
        let mut lines = String::new();
        let (mut priority, mut table) = (None, None);
        let mut words = statement.words.iter().map(|it| it.text.as_str());
        while let Some(word) = words.next() {
            match word {
                "from" | "to" => {
                    let value = words.next().unwrap_or_default();
                    let net = match address(value) {
                        Some(net) => network(net),
                        None if matches!(value, "all" | "default") => continue,
                        None => return self.no_rule(statement),
                    };
                    let _ = writeln!(lines, "{word} = {}", toml_text(&net));
                }
                "fwmark" => match words.next() {
                    Some(mark) => lines += &format!("fwmark = {}\n", toml_text(mark)),
                    None => return self.no_rule(statement),
                },
                "table" | "lookup" => {
                    let name = words.next().unwrap_or_default();
                    table = if name == "main" {
                        Some(254)
                    } else {
                        Some(self.table(statement, name)?)
                    };
                }
                "priority" | "preference" | "pref" | "order" => {
                    priority = words.next().and_then(|it| it.parse::<u32>().ok());
                }
                "inet6" => lines += "family = \"ipv6\"\n",
                "iif" | "dev" | "oif" => {
                    words.next();
                }
                "no_track" | "inet" => {}
                _ => return self.no_rule(statement),
            }
        }
        let Some(table) = table else {
            return self.no_rule(statement);
        };
        for (key, names) in [("iif", &["iif", "dev"][..]), ("oif", &["oif"])] {
            let names = entry.map(|it| it.and_then(|it| device(it, names)));
            if let Some(names) = of_both(names) {
                let _ = writeln!(
                    lines,
                    "{key} = {}",
                    each(self.nodes, &names.map(|it| toml_text(&it)))
                );
            }
        }
        let priority = priority.unwrap_or_else(|| {
            *next -= 1;
            *next
        });
        let mut keys: Vec<&str> = lines
            .lines()
            .filter_map(|it| it.split(' ').next())
            .collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() < count {
            return self.no_rule(statement);
        }
        let _ = write!(lines, "table = {table}\npriority = {priority}\n");
        Some(lines)
    }

    fn no_rule(&mut self, statement: &Statement) -> Option<String> {
        let why = "a rule has from, to, fwmark, iif, oif, table and priority only";
        let todo = "add it by a hook in active.d, and remove it in backup.d";
        self.list(statement, why, todo);
        None
    }
}

/// Options of a route without a value.
const OPTIONS_ALONE: [&str; 4] = ["onlink", "add", "append", "pervasive"];

/// A network without host bits, which the kernel refuses.
fn network(net: IpNet) -> String {
    net.trunc().to_string()
}

fn device(statement: &Statement, options: &[&str]) -> Option<String> {
    let words = &statement.words;
    let at = words
        .iter()
        .position(|it| options.contains(&it.text.as_str()))?;
    Some(words.get(at + 1)?.text.clone())
}

/// The text of an entry but for its interfaces, which may differ by node.
fn without_device(statement: &Statement) -> String {
    let mut words = statement.words.iter().map(|it| it.text.as_str());
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
