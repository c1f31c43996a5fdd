// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair whose nodes serve the page of the plugin web, on loopback and on the lan.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::lab::{FIRST_ROUTER, Lab, Wire};
use crate::linked::Linked;
use crate::router::{Files, Plan, PluginFile};

pub const PASSWORD: &str = "correct.horse.battery";
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const PORT: u16 = 3781;

/// Address of a node's page on the lan.
pub fn address(site: usize) -> SocketAddr {
    let host = FIRST_ROUTER + u8::try_from(site).unwrap_or_default();
    (Wire::Lan.ipv4(host), PORT).into()
}

/// Plan of a pair in which a role that was switched over stays where it is.
pub fn plan(interval: Duration) -> Result<Plan> {
    let mut plan = Plan::linked(interval, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(plugin()?);
    Ok(plan)
}

/// The plugin with a password and a token.
pub fn plugin() -> Result<PluginFile> {
    let hash = spared_key::login::hash(PASSWORD)?;
    let [first, second] = [0, 1].map(|site| address(site).to_string());
    let local = format!("\"127.0.0.1:{PORT}\", \"unix:page.sock\"");
    let toml = format!(
        "listen = {{ r1 = [{local}, {first:?}], r2 = [{local}, {second:?}] }}\n\
         password = {hash:?}\ntoken = {TOKEN:?}\n"
    );
    Ok(PluginFile {
        name: "web".to_owned(),
        toml,
        file: "libspared_web.so".to_owned(),
    })
}

/// Waits until a node serves its page.
pub fn served(pair: &Linked<'_>, site: usize) -> Result<()> {
    pair.wait("the page", || {
        let rows = pair.done(site, &["web"]).unwrap_or_default();
        rows.matches(" open").count() == 3
    })
}

/// Folder of the plugin on a node.
pub fn folder(lab: &Lab, site: usize) -> PathBuf {
    let dir = lab.dir.join(format!("{}-spared", lab.sites[site].name));
    Files { dir: &dir }.state_dir().join("web")
}

/// Process of the plugin on a node.
pub fn worker(pair: &Linked<'_>, site: usize) -> Result<u32> {
    let said = pair.done(site, &["--json", "plugins"])?;
    let plugins: serde_json::Value = serde_json::from_str(&said)?;
    let all = plugins["plugins"].as_array().ok_or("no plugins")?;
    let web = all.iter().find(|it| it["name"] == "web");
    let pid = web.and_then(|it| it["pid"].as_u64()).ok_or("no process")?;
    Ok(u32::try_from(pid)?)
}

/// Memory of a process by a key of /proc/PID/status, in kB.
pub fn memory(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix(key));
    let words = line.and_then(|it| it.split_whitespace().next());
    Ok(words.ok_or("no such key")?.parse()?)
}
