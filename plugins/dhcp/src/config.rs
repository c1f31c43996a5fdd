//! Reads dhcp.toml; *spared-dhcp*(5) describes every key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use spared_sdk::config::{Config, Section, node};

use crate::codec::Format;
use crate::discover;

/// Limit of servers, since `sparectl` accepts a limited number of rows.
const SERVERS_MAX: usize = 16;
const NAME_MAX: usize = 32;
const KINDS: [(&str, Format); 5] = [
    ("kea4", Format::Kea4),
    ("kea6", Format::Kea6),
    ("dnsmasq", Format::Dnsmasq),
    ("dhcpd4", Format::Dhcpd4),
    ("dhcpd6", Format::Dhcpd6),
];

/// One `[[server]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub format: Format,
    /// Path of the server's own configuration.
    pub config: PathBuf,
    /// Path of the lease file. This field and the next three override `config`.
    pub leases: Option<PathBuf>,
    pub socket: Option<PathBuf>,
    pub server_id: Option<PathBuf>,
    pub bus_name: Option<String>,
    /// Address of the bus; None for the system bus.
    pub bus: Option<String>,
    /// Name in service.toml of the entry that starts and stops the server.
    pub service: String,
    /// The server also runs on the backup, and receives leases while it runs.
    pub warm: bool,
    /// An empty set of leases may replace one that is not empty.
    pub allow_empty: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub servers: Vec<Server>,
    /// Interval at which a backup writes its file, if leases changed.
    pub save_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            save_interval: Duration::from_secs(60),
        }
    }
}

/// Returns the server's kind, as dhcp.toml names it.
pub fn kind(format: Format) -> &'static str {
    let known = KINDS.iter().find(|(_, it)| *it == format);
    known.map_or("", |(kind, _)| kind)
}

/// Reads the file. None if `config` has recorded faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let save_interval = root.duration("save_interval", range);
    let sections = root.sections("server");
    if sections.is_empty() && !root.has("server") {
        root.fault("server", "missing: name at least one [[server]]");
        return None;
    }
    root.at_most("server", "servers", sections.len(), SERVERS_MAX);
    let servers: Vec<Option<Server>> = sections.iter().map(server).collect();
    refuse_repeats(&sections, &servers);
    Some(Settings {
        servers: servers.into_iter().collect::<Option<_>>()?,
        save_interval: save_interval.unwrap_or(Settings::default().save_interval),
    })
}

fn server(section: &Section<'_>) -> Option<Server> {
    let format = section.required("kind", section.choice("kind", &KINDS));
    let name = name(section);
    let config = path(section, "config");
    let leases = path(section, "leases");
    let socket = path(section, "socket");
    let server_id = path(section, "server_id");
    let bus_name = section.text(node("bus_name"));
    let bus = section.text(node("bus"));
    let service = section.text("service");
    let warm = section.flag("warm");
    let allow_empty = section.flag("allow_empty");
    let format = format?;
    refuse_strangers(section, format, warm == Some(true));
    Some(Server {
        name: name.unwrap_or_else(|| kind(format).to_owned()),
        format,
        config: config.unwrap_or_else(|| discover::default_path(format).to_owned()),
        leases,
        socket,
        server_id,
        bus_name,
        bus,
        service: service.unwrap_or_else(|| unit(format).to_owned()),
        warm: warm.unwrap_or(false),
        allow_empty: allow_empty.unwrap_or(false),
    })
}

/// Returns the server's unit in Debian's packages.
fn unit(format: Format) -> &'static str {
    match format {
        Format::Kea4 => "kea-dhcp4-server",
        Format::Kea6 => "kea-dhcp6-server",
        Format::Dnsmasq => "dnsmasq",
        Format::Dhcpd4 | Format::Dhcpd6 => "isc-dhcp-server",
    }
}

/// Reads a server's name, which is used in file names and rows.
fn name(section: &Section<'_>) -> Option<String> {
    let name = section.text("name")?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        let why = format!(
            "found {name:?}, allowed a letter and then up to {} of a-z, 0-9 and -",
            NAME_MAX - 1
        );
        section.fault("name", why);
        return None;
    }
    Some(name)
}

fn path(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let text = section.text(node(key))?;
    let path = PathBuf::from(&text);
    if !path.is_absolute() || text.contains('\0') {
        section.fault(key, format!("found {text:?}, allowed an absolute path"));
        return None;
    }
    Some(path)
}

/// Refuses keys that do not apply to this server.
fn refuse_strangers(section: &Section<'_>, format: Format, warm: bool) {
    let kea = matches!(format, Format::Kea4 | Format::Kea6);
    let kind = kind(format);
    let refuse = |key: &str, who: &str| {
        if section.has(node(key)) {
            section.fault(key, format!("{kind} has none, only {who}"));
        }
    };
    if !kea {
        refuse("socket", "kea4 and kea6");
    }
    if format != Format::Kea6 {
        refuse("server_id", "kea6");
    }
    if format != Format::Dnsmasq {
        refuse("bus_name", "dnsmasq");
        refuse("bus", "dnsmasq");
    }
    if warm && matches!(format, Format::Dhcpd4 | Format::Dhcpd6) {
        section.fault("warm", "dhcpd takes no leases while it runs");
    }
}

fn refuse_repeats(sections: &[Section<'_>], servers: &[Option<Server>]) {
    let mut names = BTreeSet::new();
    let mut files = BTreeMap::new();
    for (section, server) in sections.iter().zip(servers) {
        let Some(server) = server else { continue };
        if !names.insert(&server.name) {
            let why = format!("there are two servers {:?}: name them", server.name);
            section.fault("name", why);
            continue;
        }
        // each server would overwrite the other's leases
        let (key, word, file) = match &server.leases {
            Some(leases) => ("leases", "lease file", (None, leases)),
            None => (
                "config",
                "configuration",
                (Some(kind(server.format)), &server.config),
            ),
        };
        if let Some(other) = files.insert(file, &server.name) {
            let why = format!(
                "server {other:?} has this {word}, too: {}",
                file.1.display()
            );
            section.fault(key, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let config = Config::parse(text, "r1", &["r1".to_owned(), "r2".to_owned()]).expect("TOML");
        let _ = read(&config);
        let faults = config.finish().expect_err("something is wrong");
        let lines = faults.iter().map(|it| format!("{}: {}", it.key, it.why));
        lines.collect()
    }

    fn settings(text: &str, node: &str) -> Settings {
        let config = Config::parse(text, node, &["r1".to_owned(), "r2".to_owned()]).expect("TOML");
        let settings = read(&config).expect("no fault");
        assert_eq!(config.finish(), Ok(()));
        settings
    }

    #[test]
    fn a_kind_is_enough() {
        let settings = settings("[[server]]\nkind = \"kea4\"\n", "r1");
        assert_eq!(settings.save_interval, Duration::from_secs(60));
        let server = &settings.servers[0];
        assert_eq!(
            (server.name.as_str(), server.format),
            ("kea4", Format::Kea4)
        );
        assert_eq!(server.config, discover::default_path(Format::Kea4));
        assert!(!server.warm && !server.allow_empty && server.leases.is_none());
    }

    #[test]
    fn paths_may_differ_by_node() {
        let text = "[[server]]\nkind = \"dhcpd4\"\n\
                    leases = { r1 = \"/a/leases\", r2 = \"/b/leases\" }\n";
        let leases = |node| settings(text, node).servers[0].leases.clone();
        assert_eq!(leases("r1"), Some(PathBuf::from("/a/leases")));
        assert_eq!(leases("r2"), Some(PathBuf::from("/b/leases")));
    }

    #[test]
    fn no_server_at_all_is_a_fault() {
        assert_eq!(
            faults(""),
            ["server: missing: name at least one [[server]]"]
        );
    }

    #[test]
    fn two_servers_of_one_lease_file_are_refused() {
        let server =
            |name, keys| format!("[[server]]\nkind = \"kea4\"\nname = \"{name}\"\n{keys}\n");
        let text = server("a", "leases = \"/l\"") + &server("b", "leases = \"/l\"");
        let wanted = "server.1.leases: server \"a\" has this lease file, too: /l";
        assert_eq!(faults(&text), [wanted]);
        let text = server("a", "") + &server("b", "config = \"/etc/kea/kea-dhcp4.conf\"");
        let wanted =
            "server.1.config: server \"a\" has this configuration, too: /etc/kea/kea-dhcp4.conf";
        assert_eq!(faults(&text), [wanted]);
        let text =
            server("a", "") + &server("b", "leases = \"/l\"") + "[[server]]\nkind = \"kea6\"\n";
        assert_eq!(settings(&text, "r1").servers.len(), 3);
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let text = "save_interval = \"0s\"\n\
                    [[server]]\nkind = \"kea4\"\nserver_id = \"/x\"\nconfig = \"kea.conf\"\n\
                    [[server]]\nkind = \"kea4\"\nbus = \"unix:path=/x\"\n\
                    [[server]]\nkind = \"dhcpd4\"\nwarm = true\nsocket = \"/x\"\nname = \"A b\"\n\
                    [[server]]\nkind = \"bootp\"\nunit = \"x\"\n";
        let faults = faults(text);
        for part in [
            "save_interval: found \"0s\", allowed \"1s\" to \"1h\"",
            "server.0.server_id: kea4 has none, only kea6",
            "server.0.config: found \"kea.conf\", allowed an absolute path",
            "server.1.bus: kea4 has none, only dnsmasq",
            "server.1.name: there are two servers \"kea4\": name them",
            "server.2.warm: dhcpd takes no leases while it runs",
            "server.2.socket: dhcpd4 has none, only kea4 and kea6",
            "server.2.name: found \"A b\", allowed a letter and then up to 31",
            "server.3.kind: found \"bootp\"",
            "server.3.unit: unknown key",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(part)),
                "{part}: {faults:?}"
            );
        }
        assert_eq!(faults.len(), 10, "{faults:?}");
    }
}
