// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers with two links, and plugins that report, replicate and check.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Result;
use crate::lab::{Lab, Wire, skipped};
use crate::linked::{INTERVAL, Linked, peer};
use crate::router::{Plan, PluginFile};
use crate::truth::Bed;

pub(crate) const SET: &str =
    "table inet filter {\n set bans { type ipv4_addr; flags timeout; }\n}\n";

/// Script "serve NODE SERVICE VERB": a service whose state and faults are files below NODE.
const SERVE: &str = r#"#!/bin/sh
cd "$(dirname "$0")/$1" || exit 9
[ ! -e "$2-$3-hangs" ] || exec sleep 60
[ ! -e "$2-$3-fails" ] || { echo "no luck today"; exit 1; }
case $3 in
status) [ -e "$2-up" ] || exit 3;;
start) [ -e "$2-vanishes" ] || : >"$2-up";;
stop) rm -f "$2-up";;
esac
"#;

/// Script "check NODE": a health check whose result is in a file.
const CHECK: &str = r#"#!/bin/sh
cd "$(dirname "$0")/$1" || exit 9
[ ! -e check-hangs ] || exec sleep 60
[ ! -e check-fails ] || { echo "no luck today"; exit 1; }
"#;

/// Starts the pair: r1 is active and preferred, r2 is ready.
pub(super) fn start(lab: &Lab) -> Result<Bed<'_>> {
    let folder = lab.dir.join("scripts");
    install(lab, &folder)?;
    let pair = Linked::start(lab, &plan(&folder))?;
    let bed = Bed::new(pair);
    bed.wait_ok()?;
    Ok(bed)
}

/// Writes the scripts of both nodes, and creates the set in both kernels.
pub(crate) fn install(lab: &Lab, folder: &Path) -> Result<()> {
    for node in ["r1", "r2"] {
        fs::create_dir_all(folder.join(node))?;
        // services that already run when spared starts
        if node == "r1" {
            for service in ["web", "mail"] {
                fs::write(folder.join(node).join(format!("{service}-up")), "")?;
            }
        }
    }
    for (name, text) in [("serve", SERVE), ("check", CHECK)] {
        let script = folder.join(name);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        trusted(&script)?;
    }
    let mut routers = lab.sites.iter().take(2);
    routers.try_for_each(|site| site.ns.nft(SET))
}

// Skips the test if scripts cannot belong to root: the daemon would refuse them.
fn trusted(script: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata(script)?.uid() {
        0 => Ok(()),
        _ => Err(skipped("nothing is root's alone in a user namespace")),
    }
}

pub(super) fn plan(folder: &Path) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    let mut messenger = peer("");
    messenger.toml = MESSENGER.to_owned();
    let plugin = |name: &str, toml: String| PluginFile {
        name: name.to_owned(),
        toml,
        file: format!("libspared_{name}.so"),
    };
    plan.plugins = vec![
        messenger,
        plugin("sets", SETS.to_owned()),
        plugin("conntrack", String::new()),
        plugin("service", service_toml(folder)),
        plugin("health", health_toml(folder)),
    ];
    plan
}

pub(super) const MESSENGER: &str = "weight = 0\n";
pub(crate) const SETS: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

pub(super) fn service_toml(folder: &Path) -> String {
    let hooks = |node: &str| folder.join(node).join("hooks").display().to_string();
    let (first, second) = (hooks("r1"), hooks("r2"));
    format!(
        "poll_interval = \"1s\"\nhooks = {{ r1 = {first:?}, r2 = {second:?} }}\n{}",
        services(folder)
    )
}

/// Sections of service.toml.
pub(crate) fn services(folder: &Path) -> String {
    let script = folder.join("serve").display().to_string();
    let mut toml = String::new();
    for service in ["web", "mail"] {
        toml += &format!("[[service]]\nname = \"{service}\"\ntimeout = \"3s\"\n");
        // the plugin sees the file being created and removed
        let words = |node: &str| {
            let fails = folder.join(node).join(format!("{service}-test-fails"));
            let fails = fails.display().to_string();
            format!("{:?}", [script.as_str(), node, service, "test", &fails])
        };
        let (first, second) = (words("r1"), words("r2"));
        toml += &format!("test = {{ r1 = {first}, r2 = {second} }}\n");
        for verb in ["start", "stop", "status"] {
            let words = |node: &str| format!("{:?}", [script.as_str(), node, service, verb]);
            let (first, second) = (words("r1"), words("r2"));
            toml += &format!("{verb} = {{ r1 = {first}, r2 = {second} }}\n");
        }
    }
    toml
}

pub(crate) fn health_toml(folder: &Path) -> String {
    let script = folder.join("check").display().to_string();
    let words = |node: &str| format!("{:?}", [script.as_str(), node]);
    let (first, second) = (words("r1"), words("r2"));
    format!(
        "[[script]]\nname = \"luck\"\nweight = 0\ninterval = \"500ms\"\ntimeout = \"400ms\"\n\
         argv = {{ r1 = {first}, r2 = {second} }}\n"
    )
}
