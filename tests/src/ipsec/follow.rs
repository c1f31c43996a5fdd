// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plugin ipsec on both routers: its rows, and waiting for replication.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Charon, Connection, Tunnelled, plan};
use crate::Result;
use crate::clock::poll;
use crate::machine::STEP;
use crate::machine::{Node, wait_settled};
use crate::router::{Plan, PluginFile};

/// Advert interval, for machines on two shared processors.
pub(super) const INTERVAL: Duration = Duration::from_millis(400);
const LIMIT: Duration = Duration::from_secs(30);

/// Plan with the plugin ipsec and these lines in its file. No IKE daemon is used.
pub fn following(toml: &str) -> Plan {
    let plugin = PluginFile {
        name: "ipsec".to_owned(),
        toml: format!("adopt.daemon = \"none\"\n{toml}"),
        file: "libspared_ipsec.so".to_owned(),
    };
    let mut plan = plan(vec![plugin]);
    plan.interval = Some(INTERVAL);
    plan.without_preference();
    plan
}

/// Plan with the plugin ipsec and an empty file, so that strongSwan is used.
pub fn asking() -> Plan {
    let mut plan = following("");
    for plugin in &mut plan.plugins {
        plugin.toml.clear();
    }
    plan
}

/// The plugin service, which starts charon on the active node by these scripts of the routers.
pub fn services(scripts: [&Path; 2]) -> PluginFile {
    let [first, second] = scripts.map(|path| path.display().to_string());
    let command = |verb: &str| {
        format!("{verb} = {{ r1 = [{first:?}, {verb:?}], r2 = [{second:?}, {verb:?}] }}\n")
    };
    let commands: String = ["start", "stop", "status"].map(command).concat();
    PluginFile {
        name: "service".to_owned(),
        toml: format!("after = [\"ipsec\"]\n[[service]]\nname = \"charon\"\n{commands}"),
        file: "libspared_service.so".to_owned(),
    }
}

impl Node<'_> {
    /// Returns a row of `ipsec check`, such as "all.peer".
    pub fn ipsec_check(&self, key: &str) -> String {
        let rows = self.rows("ipsec check").unwrap_or_default();
        rows.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns a row of `ipsec status`, such as "all.sas".
    pub fn ipsec(&self, key: &str) -> Value {
        let rows = self.rows("ipsec status").unwrap_or_default();
        rows.get(key).cloned().unwrap_or_default()
    }

    pub fn ipsec_number(&self, key: &str) -> u64 {
        self.ipsec(key).as_u64().unwrap_or_default()
    }
}

impl Tunnelled<'_> {
    /// Returns the plugin service, which starts charon on the active node, with a connection for each router.
    pub fn charon_services(&self, [first, second]: [&Connection; 2]) -> Result<PluginFile> {
        let [r1, r2] = &self.routers;
        Ok(services([
            &Charon::service(r1, first)?,
            &Charon::service(r2, second)?,
        ]))
    }

    /// Waits until the other router has this number of SAs and policies of the active one.
    pub fn wait_followed(&self, active: usize, sas: u64, policies: u64) -> Result<()> {
        let [giver, taker] = [active, 1 - active].map(|at| self.nodes()[at]);
        let has = |rows: &Value, key: &str, number| rows.get(key) == Some(&Value::from(number));
        let all = || {
            let (gives, takes) = (giver.rows("ipsec status"), taker.rows("ipsec status"));
            let (gives, takes) = (gives.unwrap_or_default(), takes.unwrap_or_default());
            has(&gives, "all.sas", sas)
                && has(&takes, "all.held_sas", sas)
                && has(&gives, "all.policies", policies)
                && has(&takes, "all.held_policies", policies)
                && has(&gives, "sas.behind_ms", 0)
                && has(&gives, "policies.behind_ms", 0)
        };
        if poll(LIMIT, STEP, all) {
            return wait_settled(self.nodes(), LIMIT).map(drop);
        }
        let said = [giver, taker].map(|node| node.done("ipsec").unwrap_or_default());
        let [gives, takes] = said;
        Err(format!("not {sas} SAs and {policies} policies:\n{gives}\n{takes}").into())
    }

    /// Waits until a router knows the child of each of the peer's SAs. Charon names them after the kernel has told of them.
    pub fn wait_named(&self, router: usize) -> Result<()> {
        let node = self.nodes()[router];
        let all = || {
            let rows = node.rows("ipsec status").unwrap_or_default();
            let keys = || rows.as_object().into_iter().flat_map(|it| it.keys());
            let count = |end: &str| keys().filter(|it| it.ends_with(end)).count();
            count(".ready") > 0 && count(".child") == count(".ready")
        };
        if poll(LIMIT, STEP, all) {
            return Ok(());
        }
        Err(format!("no names of SAs:\n{}", node.done("ipsec")?).into())
    }

    /// Switches over to a router, as soon as that is allowed.
    pub fn switch_to(&self, router: usize) -> Result<()> {
        let node = self.nodes()[router];
        let mut answer = String::new();
        let limit = Duration::from_secs(20);
        let switched = poll(limit, STEP, || {
            match node.sparectl(&format!("switch --to r{}", router + 1)) {
                Ok((0, _)) => true,
                Ok((_, text)) => {
                    answer = text;
                    false
                }
                Err(_) => false,
            }
        });
        if switched {
            node.wait_role("active", LIMIT)
        } else {
            Err(format!("no switch to {}: {answer}", node.0.name).into())
        }
    }
}
