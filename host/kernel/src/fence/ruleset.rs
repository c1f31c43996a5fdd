//! Contents of the table: converts a [`Plan`] to chains, rules and elements.
//!
//! Every device has two base chains, which only jump to `ingress` and `egress`, or to the chains for devices elsewhere.
//! The adverts of each virtual router have a chain of their own, to which `adverts` jumps by a map; only IP protocol
//! 112 reaches that. Every lease has a guard chain, to which the maps of addresses and virtual MACs jump. During a
//! switchover the guard chain continues in the chain `carried`.

use std::ffi::{CStr, CString};

use spared_netlink::constants::*;

use super::expression::Expression::{self, Jump};
use super::lease_chains::{advert_chains, adverts, guard_chains};
use super::object::{Element, Hook};
use super::plan::{Device, Plan};
use super::rules::{
    REFUSALS, adverts_rule, carried, egress, egress_elsewhere, ingress, ingress_elsewhere, refusal,
};
use super::sets::*;

/// Chains and elements of a table.
pub struct Content {
    pub chains: Vec<ChainContent>,
    pub elements: Vec<(&'static CStr, Vec<Element>)>,
}

pub struct ChainContent {
    pub name: CString,
    pub hook: Option<Hook>,
    pub rules: Vec<RuleContent>,
}

pub struct RuleContent {
    pub why: &'static CStr,
    pub expressions: Vec<Expression>,
}

// Our chains come first for incoming packets and last for outgoing ones: an advert that other rules
// drop renews no lease.
const INGRESS_PRIORITY: i32 = -500;
const EGRESS_PRIORITY: i32 = 500;

/// Contents of the fence.
pub fn fence(plan: &Plan) -> Content {
    let mut chains = vec![
        chain("ingress", None, ingress(plan)),
        chain("egress", None, egress(plan)),
        chain("ingress-elsewhere", None, ingress_elsewhere(plan)),
        chain("egress-elsewhere", None, egress_elsewhere(plan)),
        adverts(plan),
    ];
    chains.push(chain("carried", None, carried(plan)));
    chains.extend(REFUSALS.map(|(name, count)| chain(name, None, refusal(count))));
    chains.extend(guard_chains(plan));
    chains.extend(advert_chains(plan, true));
    let devices = plan.devices.iter().map(|it| (it, "ingress", "egress"));
    let elsewhere = plan.elsewhere.iter();
    let elsewhere = elsewhere.map(|it| (it, "ingress-elsewhere", "egress-elsewhere"));
    for (device, ingress, egress) in devices.chain(elsewhere) {
        let jump = |to: &str| vec![rule(c"", vec![Jump(c_string(to))])];
        let hook = |number, priority| {
            Some(Hook {
                device: Some(c_string(&device.name)),
                number,
                priority,
            })
        };
        chains.push(chain(
            &hook_name("in", device),
            hook(NF_NETDEV_INGRESS, INGRESS_PRIORITY),
            jump(ingress),
        ));
        chains.push(chain(
            &hook_name("out", device),
            hook(NF_NETDEV_EGRESS, EGRESS_PRIORITY),
            jump(egress),
        ));
    }
    Content {
        chains,
        elements: elements(plan),
    }
}

/// Contents of the mirror: only the leases. The same adverts renew them, after the fence has passed these.
pub fn mirror(plan: &Plan) -> Content {
    let mut chains = vec![adverts(plan)];
    chains.extend(advert_chains(plan, false));
    for device in &plan.devices {
        if !plan
            .routers
            .iter()
            .any(|router| router.index == device.index)
        {
            continue;
        }
        let hook = Hook {
            device: Some(c_string(&device.name)),
            number: NF_NETDEV_EGRESS,
            priority: EGRESS_PRIORITY + 1,
        };
        let name = hook_name("out", device);
        chains.push(chain(&name, Some(hook), vec![adverts_rule()]));
    }
    Content {
        chains,
        elements: advert_elements(plan),
    }
}

// Name of a device's base chain. It contains the index, because a chain stays on its device when another device takes
// the name.
fn hook_name(direction: &str, device: &Device) -> String {
    format!("{direction}-{}-{}", device.name, device.index)
}

pub fn chain(name: &str, hook: Option<Hook>, rules: Vec<RuleContent>) -> ChainContent {
    ChainContent {
        name: c_string(name),
        hook,
        rules,
    }
}

pub fn rule(why: &'static CStr, expressions: Vec<Expression>) -> RuleContent {
    RuleContent { why, expressions }
}

pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
