//! The settings of a plugin as its worker gets them from the host, in a record: whatever their text, each
//! plugin reads settings or notes a fault.
//!
//! Input: one byte (bits 0-2: the plugin; bit 7: a whole record follows, else the text of the file), then
//! bytes.

use std::time::Duration;

use spared_contract::codec::Message;
use spared_contract::{Surroundings, ToPlugin};
use spared_sdk::config::{self, Config, ConfigTable, Failure, Scope};

/// Tick of a kernel with CONFIG_HZ=100, the longest.
const TICK: Duration = Duration::from_millis(10);

pub fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else {
        return;
    };
    if flags & 0x80 != 0 {
        if let Ok(ToPlugin::Configure {
            table,
            surroundings,
            ..
        }) = ToPlugin::decode(bytes)
        {
            read(flags & 7, &table, &surroundings);
        }
    } else if let Some(table) = std::str::from_utf8(bytes).ok().and_then(table_of) {
        read(flags & 7, &table, &surroundings());
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        node: "r1".to_owned(),
        nodes: vec!["r1".to_owned(), "r2".to_owned()],
        links: vec!["hot".to_owned()],
        peer: Some("r2".to_owned()),
        state: None,
    }
}

/// A file as it travels; the message has each of its values.
fn table_of(toml: &str) -> Option<ConfigTable> {
    let table = config::table(toml).ok()?;
    let message = ToPlugin::Configure {
        token: 1,
        table: table.clone(),
        check: false,
        surroundings: Surroundings::default(),
    };
    let record = message.encode().unwrap_or_default();
    assert_eq!(ToPlugin::decode(&record), Ok(message));
    Some(table)
}

/// Names of plugins, by the number of the input.
const PLUGINS: [&str; 9] = [
    "vrrp",
    "health",
    "conntrack",
    "sets",
    "dhcp",
    "ipsec",
    "service",
    "alarm",
    "web",
];

fn read(plugin: u8, table: &ConfigTable, around: &Surroundings) {
    let name = PLUGINS.get(usize::from(plugin)).copied();
    let faults = faults(name.unwrap_or_default(), table, around);
    assert!(faults.iter().all(|fault| !fault.why.is_empty()));
}

/// Faults that a plugin finds in its settings.
pub(crate) fn faults(plugin: &str, table: &ConfigTable, around: &Surroundings) -> Vec<Failure> {
    let config = Config::of(table, &around.node, &around.nodes);
    let is_read = match plugin {
        "vrrp" => spared_vrrp::config::read(&config, TICK).is_some(),
        "health" => spared_health::config::read(&config).is_some(),
        "conntrack" => spared_conntrack::config::read(&config).is_some(),
        "sets" => spared_sets::config::read(&config).is_some(),
        "dhcp" => spared_dhcp::config::read(&config).is_some(),
        "ipsec" => spared_ipsec::config::read(&config).is_some(),
        "service" => spared_service::config::read(&config).is_some(),
        "alarm" => spared_alarm::config::read(&config).is_some(),
        "web" => spared_web::config::read(&config).is_some(),
        _ => config.deserialize::<toml::Table>().is_ok(),
    };
    let faults = config.finish().err().unwrap_or_default();
    assert!(
        is_read || !faults.is_empty(),
        "neither settings nor a fault"
    );
    let known = |(_, scope): &(String, Scope)| matches!(scope, Scope::Pair | Scope::Secret);
    let _ = config.scopes().iter().filter(|key| known(key)).count();
    faults
}

/// The examples of the manual, each for the plugin that reads it, and as whole records.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (plugin, file) in EXAMPLES {
        seeds.push([&[plugin], file.as_bytes()].concat());
        // what is commented out in an example is one, too
        let all = file.replace("\n#[", "\n[").replace("\n#", "\n");
        seeds.push([&[plugin], all.as_bytes()].concat());
    }
    let record = ToPlugin::Configure {
        token: 1,
        table: config::table(EXAMPLES[1].1).unwrap_or_default(),
        check: true,
        surroundings: surroundings(),
    };
    let record = record.encode().unwrap_or_default();
    seeds.push([&[0x80], &record[..]].concat());
    seeds.push(
        b"\x09a.b.c = 1\n'x.y' = { r1 = [1, 2], r2 = 2026-11-22 }\n[[z]]\nf = 1e3\n".to_vec(),
    );
    seeds
}

const EXAMPLES: [(u8, &str); 17] = [
    (0, include_str!("../../../docs/examples/office.toml")),
    (0, include_str!("../../../docs/examples/one-address.toml")),
    (0, include_str!("../../../docs/examples/keepalived.toml")),
    (0, include_str!("../../../docs/examples/unicast.toml")),
    (1, include_str!("../../../docs/examples/health.toml")),
    (2, include_str!("../../../docs/examples/conntrack.toml")),
    (3, include_str!("../../../docs/examples/sets.toml")),
    (4, include_str!("../../../docs/examples/dhcp.toml")),
    (5, include_str!("../../../docs/examples/ipsec.toml")),
    (6, include_str!("../../../docs/examples/service.toml")),
    (
        6,
        include_str!("../../../docs/examples/services-dialup.toml"),
    ),
    (6, include_str!("../../../docs/examples/services-mail.toml")),
    (
        6,
        include_str!("../../../docs/examples/services-network.toml"),
    ),
    (
        6,
        include_str!("../../../docs/examples/services-proxy.toml"),
    ),
    (6, include_str!("../../../docs/examples/services-vpn.toml")),
    (7, include_str!("../../../docs/examples/alarm.toml")),
    (8, include_str!("../../../docs/examples/web.toml")),
];
