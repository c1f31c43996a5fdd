// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration of charon on the routers, and of the daemon of the far ends.

use std::time::Duration;

use super::FarDaemon;
use crate::ipsec::follow::INTERVAL;
use crate::ipsec::{Family, PLUGINS, Release, SECRET};

/// Policies of a tunnel.
const POLICIES: u64 = 3;

/// Configuration of both sides.
pub struct Setup {
    /// Further plugins of both charons, and sections of their plugins at the router.
    pub plugins: String,
    pub has_ha: bool,
    /// charon runs on both routers whatever their roles, and no service stops it.
    pub both_run: bool,
    /// Release of the routers' charon.
    pub release: Release,
    /// File swanctl.conf.
    pub router: String,
    pub far_daemon: FarDaemon,
    /// File swanctl.conf, or connections of ipsec.conf.
    pub far: String,
    /// Connections of the far side that it initiates, with their children. With pluto, a child is a connection.
    pub sessions: Vec<(String, Vec<String>)>,
    /// Policies of all children.
    pub policies: u64,
    pub advert_interval: Duration,
}

impl Setup {
    /// Road warriors with these names, each with a virtual address; `lines` are for their connections, `child` for their
    /// children.
    pub fn clients(names: &[&str], lines: &str, child: &str) -> Self {
        let network = Family::V4.lan_network();
        let client = |name: &&str| {
            let child = format!(
                "{name} {{\n remote_ts = {network}\n esp_proposals = aes128gcm16-esn\n {child}\n }}\n"
            );
            client(name, &format!("vips = 0.0.0.0\n{lines}"), PSK, &child)
        };
        let far: String = names.iter().map(client).collect();
        let session = |name: &&str| ((*name).to_owned(), vec![(*name).to_owned()]);
        Self {
            plugins: String::new(),
            has_ha: true,
            both_run: false,
            release: Release::Installed,
            router: conf(&road(), ""),
            far_daemon: FarDaemon::Charon(Release::Installed),
            far: conf(&far, ""),
            sessions: names.iter().map(session).collect(),
            policies: POLICIES * names.len() as u64,
            advert_interval: INTERVAL,
        }
    }

    /// Adds a tunnel between sites; `lines` are for the router's child.
    pub fn with_site(mut self, lines: &str) -> Self {
        let end = |own, other, names: [&str; 2], networks: [&str; 2], lines: &str| {
            format!(
                "site {{\n version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = {other}\n dpd_delay = 2s\n\
                 local {{\n auth = psk\n id = {}\n }}\n remote {{\n auth = psk\n id = {}\n }}\n\
                 children {{\n site {{\n local_ts = {}\n remote_ts = {}\n esp_proposals = aes128gcm16-esn\n {lines}\n\
                 }}\n }}\n}}\n",
                names[0], names[1], networks[0], networks[1]
            )
        };
        let (here, there) = (Family::V4.gateway(), Family::V4.far());
        let (lan, inner) = (Family::V4.lan_network(), Family::V4.inner_network());
        let add = |conf: &mut String, connection: &str| {
            *conf = conf.replacen(
                "connections {\n",
                &format!("connections {{\n{connection}"),
                1,
            );
        };
        add(
            &mut self.router,
            &end(here, there, ["router", "far"], [lan, inner], lines),
        );
        add(
            &mut self.far,
            &end(there, here, ["far", "router"], [inner, lan], ""),
        );
        self.sessions
            .push(("site".to_owned(), vec!["site".to_owned()]));
        self.policies += POLICIES;
        self
    }

    fn load(&self) -> String {
        format!("load = {PLUGINS} {}", self.plugins)
    }

    pub(super) fn far_settings(&self) -> String {
        format!("{}\n", self.load())
    }

    /// Router's charon: its peer of the plugin `ha` is spared on the same node, and it assigns addresses by that.
    pub(super) fn router_settings(&self) -> String {
        let load = self.load();
        if !self.has_ha {
            return format!("{load}\n");
        }
        format!(
            "{load} ha\n delete_rekeyed_delay = 1\n plugins {{\n ha {{\n\
               local = 127.0.0.1\n remote = 127.0.0.2\n segment_count = 1\n fifo_interface = no\n monitor = no\n\
               resync = no\n pools {{\n pool = 10.3.0.0/20\n }}\n\
             }}\n }}\n"
        )
    }

    pub(super) fn children(&self) -> usize {
        self.sessions
            .iter()
            .map(|(_, children)| children.len())
            .sum()
    }
}

/// Sections `local` and `remote` of a client with a secret.
pub const PSK: &str = "auth = psk";

/// Router's connection for road warriors with a secret.
pub fn road() -> String {
    let (own, network) = (Family::V4.gateway(), Family::V4.lan_network());
    format!(
        "road {{\n\
           version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = %any\n pools = pool\n\
           local {{\n auth = psk\n id = router\n }}\n\
           remote {{\n auth = psk\n }}\n\
           children {{\n road {{\n local_ts = {network}\n esp_proposals = aes128gcm16-esn\n }}\n}}\n\
         }}\n"
    )
}

/// Connection of a client, which soon finds out if nobody answers; `auth` is how it proves who it is.
pub fn client(name: &str, lines: &str, auth: &str, children: &str) -> String {
    let other = Family::V4.gateway();
    let (remote, router) = match auth {
        PSK => (PSK, "router"),
        _ => ("auth = pubkey", "router.lab"),
    };
    format!(
        "{name} {{\n\
           version = 2\n mobike = no\n remote_addrs = {other}\n dpd_delay = 2s\n {lines}\n\
           local {{\n {auth}\n id = {name}\n }}\n\
           remote {{\n {remote}\n id = {router}\n }}\n\
           children {{\n{children}}}\n\
         }}\n"
    )
}

/// File swanctl.conf, with further sections of secrets.
pub fn conf(connections: &str, secrets: &str) -> String {
    format!(
        "connections {{\n{connections}}}\nsecrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n{secrets}}}\n"
    )
}
