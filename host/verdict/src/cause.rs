//! Makes the sentences about a cause.

use std::fmt::{self, Display};

use spared_contract::Elapsed;
pub use spared_contract::{Cause, CauseKind};

use crate::facts::{Forced, Role};
use crate::history::Fitness;

/// Sentences about a cause.
pub trait Sentence {
    /// Returns a sentence such as "fw1 is backup because its quality is 73 (interface "in" has no carrier) and fw2's is
    /// 100". It names the worst check behind each quality that is still current.
    fn sentence(&self, role: Role, own: &Fitness, peer: Option<&Fitness>) -> String;

    /// Returns the part of the sentence after "fw1 is backup because".
    fn clause(&self, role: Role) -> String;
}

impl Sentence for Cause {
    fn sentence(&self, role: Role, own: &Fitness, peer: Option<&Fitness>) -> String {
        let nodes = Nodes {
            own: Some(own),
            peer,
        };
        let although = match self.kind {
            _ if self.gives_away(role) => false,
            CauseKind::Failback => true,
            CauseKind::Quality => match self.is_fitter(role) {
                Some(is_fitter) => !is_fitter,
                None => role == Role::Active && self.own < QUALITY_MAX,
            },
            _ => false,
        };
        let joined = if although { "although" } else { "because" };
        let (node, role_word) = (&own.node, role.word());
        let clause = Clause {
            cause: self,
            role,
            nodes,
        };
        format!("{node} is {role_word} {joined} {clause}")
    }

    fn clause(&self, role: Role) -> String {
        let (cause, nodes) = (self, Nodes::default());
        Clause { cause, role, nodes }.to_string()
    }
}

fn who(cause: &Cause) -> &str {
    or(&cause.peer, "another router")
}

/// Returns an addition to the sentence of a group that an administrator forced; empty if maintenance overrides the
/// force.
pub fn undo(forced: Forced, is_in_maintenance: bool) -> &'static str {
    const UNDO: &str = ". Undo: sparectl force reset";
    match forced {
        Forced::No => "",
        Forced::Active if is_in_maintenance => "",
        Forced::Active | Forced::Backup => UNDO,
    }
}

const QUALITY_MAX: u32 = spared_abi::QUALITY_MAX;

/// Qualities of both nodes, with the checks behind them.
#[derive(Clone, Copy, Default)]
struct Nodes<'a> {
    own: Option<&'a Fitness>,
    peer: Option<&'a Fitness>,
}

struct Clause<'a> {
    cause: &'a Cause,
    role: Role,
    nodes: Nodes<'a>,
}

impl Display for Clause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.cause;
        if cause.gives_away(self.role) {
            write!(f, "it switched over to {}: ", who(cause))?;
        }
        let (peer, own, theirs) = (who(cause), cause.own, cause.theirs);
        let (text, time) = (cause.text.as_str(), Elapsed(cause.for_ns));
        let on = On(&cause.interface);
        match cause.kind {
            CauseKind::NobodyHeard => write!(f, "no other router was heard{on} for {time}"),
            CauseKind::PeerSilent => write!(f, "{peer} fell silent{on} for {time}"),
            CauseKind::PeerResigned => write!(f, "{peer} resigned"),
            CauseKind::PeerActive => write!(f, "{peer} is active (priority {theirs}, here {own})"),
            CauseKind::PeerUnable => write!(f, "{peer} cannot be"),
            CauseKind::PeerAside => write!(f, "{peer} is forced to be backup, or in maintenance"),
            CauseKind::PeerJoining => write!(f, "{peer} is not yet in sync"),
            CauseKind::PeerForced => write!(f, "{peer} is forced to be active"),
            CauseKind::Quality => self.quality(f),
            CauseKind::Priority => write!(f, "its priority is {own} and {peer}'s is {theirs}"),
            CauseKind::Preferred => write!(f, "it is preferred and {peer} is not healthier"),
            CauseKind::Failback if cause.has(spared_abi::CAUSE_READY) => write!(
                f,
                "preferred: {peer} switches over once this node has been ready for {time}"
            ),
            CauseKind::Failback => {
                let missing = or(text, "it is not ready");
                write!(f, "preferred: {missing}; it takes over {time} after that")
            }
            CauseKind::Owner => f.write_str("it owns the addresses (priority 255)"),
            CauseKind::Forced => {
                f.write_str(or(text, "it is forced"))?;
                if cause.peer.is_empty() {
                    return Ok(());
                }
                write!(
                    f,
                    "; otherwise {peer} would be active ({theirs} against {own})"
                )
            }
            CauseKind::StandsAside => f.write_str(or(text, "it is forced to be backup")),
            CauseKind::Barred => f.write_str(or(text, "the daemon does not let it be active")),
            CauseKind::UnheardInterface => self.unheard(f),
            CauseKind::InterfaceHurt => {
                let hurt = or(text, "an interface does not carry it");
                write!(f, "{hurt}: it leaves the role to another router")
            }
            CauseKind::Isolated if text.is_empty() => f.write_str("no interface is usable"),
            CauseKind::Isolated => write!(f, "no interface is usable: {text}"),
            CauseKind::AdvertsUnsent => {
                write!(
                    f,
                    "its adverts cannot be sent from {}",
                    or(&cause.interface, "it")
                )
            }
            CauseKind::Switchover => write!(f, "{peer} switched over"),
            CauseKind::Asked => f.write_str(or(text, "it was asked to")),
            CauseKind::NotInSync => f.write_str("it is not yet in sync"),
            CauseKind::Listening => {
                write!(f, "it listens for {time}, in case another router is active")
            }
            CauseKind::Late if cause.for_ns > 0 => write!(
                f,
                "its advert would have been {time} late, longer than its fence lease"
            ),
            CauseKind::FenceBlocking => f.write_str("the daemon did not let the fence pass"),
            CauseKind::Cloned => f.write_str("another machine has sent this run's heartbeats"),
            CauseKind::Second => f.write_str("the peer hears another machine with this node's key"),
            CauseKind::Withdrawn => f.write_str(or(text, "the group is no longer configured")),
            CauseKind::Shutdown => f.write_str("it shuts down"),
            CauseKind::Conflict if cause.for_ns == 0 => {
                write!(f, "{peer} was active, too, and gave way")
            }
            CauseKind::Conflict => write!(f, "{peer} was active, too, for {time} and gave way"),
            CauseKind::Claimed => f.write_str("the group has just been claimed"),
            CauseKind::Late
            | CauseKind::ElectorDied
            | CauseKind::Lapsed
            | CauseKind::Kernel
            | CauseKind::Started
            | CauseKind::Other => f.write_str(or(text, "the vrrp plugin gives no reason")),
        }
    }
}

impl Clause<'_> {
    fn quality(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, peer) = (self.cause, who(self.cause));
        let (own, theirs) = (self.own_quality(), self.peer_quality());
        match (cause.is_fitter(self.role), self.role) {
            (Some(true), _) => write!(f, "its quality is {own} and {peer}'s is {theirs}"),
            (Some(false), Role::Active) => write!(
                f,
                "its quality is {own}: {peer}'s is {theirs}, and it was active first"
            ),
            (Some(false), _) => write!(
                f,
                "its quality is {own} and {peer}'s is {theirs}: {peer} is active, and is to switch \
                 over"
            ),
            (None, _) => {
                if cause.own < QUALITY_MAX {
                    write!(
                        f,
                        "its quality is {own}: {peer}'s is {theirs} too, so neither is better"
                    )?;
                } else {
                    f.write_str("both nodes have quality 100")?;
                }
                self.tie(f)
            }
        }
    }

    fn tie(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = who(self.cause);
        let own_preferred = self.cause.has(spared_abi::CAUSE_OWN_PREFERRED);
        let peer_preferred = self.cause.has(spared_abi::CAUSE_PEER_PREFERRED);
        match (self.role, own_preferred, peer_preferred) {
            (Role::Active, true, _) => f.write_str(" and it is preferred"),
            (Role::Active, _, true) => {
                write!(f, ", and {peer}, though preferred, was active later")
            }
            (Role::Active, ..) => f.write_str(", no node is preferred, and it was active first"),
            (_, _, true) => write!(f, " and {peer} is preferred"),
            (_, true, _) => write!(f, ", and {peer} was active first"),
            _ => write!(f, ", no node is preferred, and {peer} was active first"),
        }
    }

    // Words the cause that the active node is heard on an interface on which it does not hear the other node.
    fn unheard(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, on) = (who(self.cause), On(&self.cause.interface));
        match self.role {
            Role::Active => write!(
                f,
                "{peer} is not heard{on}, but other stations there answer this node"
            ),
            _ => write!(
                f,
                "{peer} does not hear it{on}, and no station there shows whose connection is at fault"
            ),
        }
    }

    // Returns the text about this node's quality. The plugin's text about interfaces is newer than any check.
    fn own_quality(&self) -> String {
        let (quality, text) = (self.cause.own, &self.cause.text);
        match self.nodes.own {
            _ if !text.is_empty() => format!("{quality} ({text})"),
            Some(own) => explained(quality, own),
            None => quality.to_string(),
        }
    }

    fn peer_quality(&self) -> String {
        let quality = self.cause.theirs;
        let peer = self.nodes.peer.filter(|it| it.node == self.cause.peer);
        peer.map_or(quality.to_string(), |peer| explained(quality, peer))
    }
}

/// Returns a quality, with the worst check of the node if the quality is current.
fn explained(quality: u32, node: &Fitness) -> String {
    let worst = node.failing.first();
    let Some(check) = worst.filter(|_| u32::from(node.quality) == quality) else {
        return quality.to_string();
    };
    match node.failing.len() {
        1 => format!("{quality} ({check})"),
        n => format!("{quality} ({check}, and {} more)", n - 1),
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Displays " on lan1, lan2"; empty without interfaces.
struct On<'a>(&'a str);

impl Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            interfaces => write!(f, " on {interfaces}"),
        }
    }
}

#[cfg(test)]
mod tests;
