//! The local address of a vendor's tunnel, on the active node only and behind its group's fence.
//!
//!     # /etc/spared/plugins/tunnel.toml
//!     group = "office"
//!     interface = "wan"
//!     address = "192.0.2.7"
//!     prefix = 32

use std::net::IpAddr;

use spared_sdk::config::Config;
use spared_sdk::*;

#[derive(Clone, PartialEq)]
struct Settings {
    group: String,
    address: AddressClaim,
}

struct Tunnel {
    host: Host,
    settings: Option<Settings>,
    role: Option<Role>,
}

impl Plugin for Tunnel {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            settings: None,
            role: None,
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        let root = config.root();
        let group = root.required("group", root.text("group"));
        let interface = root.required("interface", root.text("interface"));
        let address = root.parsed::<IpAddr>("address", "an IP address");
        let address = root.required("address", address);
        let prefix = root.required("prefix", root.integer("prefix", 0..=128));
        match (group, interface, address, prefix) {
            (Some(group), Some(interface), Some(address), Some(prefix)) => Ok(Settings {
                group,
                address: AddressClaim {
                    interface,
                    router: None,
                    address,
                    prefix: prefix as u8,
                    source: false,
                    own: false,
                    label: String::new(),
                },
            }),
            _ => Err(Error::Config(Vec::new())),
        }
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        // a new worker adds its own, and what this one added goes
        let is_first = self.settings.is_none();
        let is_same = self.settings.as_ref() == Some(&settings);
        self.settings = Some(settings);
        Ok(if is_first || is_same {
            Applied::Live
        } else {
            Applied::Restart
        })
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        if let Some(Settings { group, address }) = &self.settings {
            let added = std::slice::from_ref(address);
            self.host.additions().add(group, added, &[])?;
        }
        Ok(Progress::Done)
    }
}

impl Roles for Tunnel {
    /// The address is there before this is called: start the tunnel here.
    fn role(&mut self, event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
        if self
            .settings
            .as_ref()
            .is_some_and(|it| it.group == event.group)
        {
            self.role = Some(event.role);
        }
        Ok(Progress::Done)
    }
}

impl Query for Tunnel {
    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let role = self
            .role
            .map_or("unknown".to_owned(), |role| role.to_string());
        answer.text("role", &role)?;
        Ok(Progress::Done)
    }
}

plugin!(Tunnel {
    name: "tunnel",
    summary: "an address that only the active node has",
    capabilities: [net_admin],
    parts: [roles, query],
});
