//! Makes the findings about a group's virtual routers: other routers that are heard for them, and adverts that do not leave.

use crate::facts::{GroupFacts, RouterFault};
use crate::finding::{Finding, Id};
use crate::node::{STRANGER, bare};

pub fn findings(node: &str, group: &GroupFacts) -> Vec<Finding> {
    let (name, routers) = (group.name.as_str(), &group.routers);
    let stranger = routers.strangers.first();
    let strangers = stranger.map(|it| stranger_active(node, name, it));
    let signers = routers.signers.iter().map(|it| signer(node, name, it));
    let differing = routers.differing.iter();
    let differing = differing.map(|it| other_addresses(node, name, it));
    let muted = routers.muted.iter().map(|it| muted(node, name, it));
    let refused = routers.refused.iter().map(|it| refused(node, name, it));
    let others = strangers.into_iter().chain(signers).chain(differing);
    others.chain(muted).chain(refused).collect()
}

fn stranger_active(node: &str, group: &str, of: &RouterFault) -> Finding {
    let RouterFault { router, why, .. } = of;
    let text = format!(
        "{node}: {group}: {router}: {why} advertises as active, and is not a node of this pair"
    );
    Finding::new(Id::StrangerActive, node, group, text).todo(STRANGER)
}

fn signer(node: &str, group: &str, of: &RouterFault) -> Finding {
    let RouterFault { router, why, .. } = of;
    let text = format!(
        "{node}: {group}: {router}: {why} signs its adverts; {node} accepts them without verifying the signature, and does not sign \
         its own: a router that requires signatures ignores those, and both may be active"
    );
    let finding = Finding::new(Id::AdvertsSigned, node, router, text);
    finding.todo(format!(
        "On {why}: remove auth_hmac from its configuration, or set its mode to receive-only."
    ))
}

fn other_addresses(node: &str, group: &str, of: &RouterFault) -> Finding {
    let RouterFault { router, why, .. } = of;
    let text = format!(
        "{node}: {group}: {router}: the adverts of {why} name other addresses than those of {node}: a router that compares them, as \
         keepalived does, drops the adverts of {node}, so both may be active"
    );
    let finding = Finding::new(Id::AddressesDiffer, node, router, text);
    finding.todo(
        "Give both the same addresses before a role moves: `virtual_ipaddress` there; `addresses` and `advertised` in vrrp.toml here.",
    )
}

fn muted(node: &str, group: &str, of: &RouterFault) -> Finding {
    let RouterFault { router, why, .. } = of;
    let text = format!("{node}: {group}: {router}: {}", bare(why));
    let finding = Finding::new(Id::Muted, node, router, text);
    finding.todo(format!(
        "Look for a rule on {node} that drops the adverts; {node} tries again by itself."
    ))
}

fn refused(node: &str, group: &str, of: &RouterFault) -> Finding {
    let RouterFault { router, why, .. } = of;
    let text = format!(
        "{node}: {group}: {router}: the kernel of {node} refuses its adverts to {}",
        bare(why)
    );
    let finding = Finding::new(Id::Muted, node, router, text);
    finding.todo(format!(
        "Look for a rule of an output chain on {node} that drops protocol 112: `spared check` there."
    ))
}
