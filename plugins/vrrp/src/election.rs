//! Who should be active: facts in, a priority, a verdict or a sentence out. No state, no time.
//!
//! The rules E1 to E11 are those of the project's election document; without a link to the peer
//! they are spoken in VRRP's own words, the priority of the adverts.

use std::fmt;
use std::net::IpAddr;

use spared_sdk::Forced;

use crate::config::Election;

/// RFC 9568: the router that owns the addresses.
pub const OWNER: u8 = 255;
/// E3 and E10: forced active, or claiming a disputed interface.
pub const CLAIM: u8 = 254;
/// E10: forced backup, or in maintenance.
pub const LEAST: u8 = 1;
/// E9: a change for quality needs a difference of at least so many points.
const QUALITY_STEP: u8 = 5;
/// E9: the longest hold.
const HOLD_MAX_NS: u64 = 60_000_000_000;
const QUALITY_BASE: u8 = 50;

/// What the host wants of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stance {
    /// 0-100.
    pub quality: u8,
    pub eligible: bool,
    pub forced: Forced,
    pub maintenance: bool,
    pub resign: bool,
    /// Not yet in sync with the twin.
    pub joining: bool,
    /// A takeover by this node would lose nothing.
    pub ready: bool,
    /// No change of role for quality or preference.
    pub frozen: bool,
    /// E6: the twin is prepared; let it go ahead.
    pub yields: bool,
    /// E6: prepared; go ahead the moment that the twin lets go.
    pub heir: bool,
    pub why: String,
}

impl Default for Stance {
    fn default() -> Stance {
        Stance {
            quality: 100,
            eligible: true,
            forced: Forced::No,
            maintenance: false,
            resign: false,
            joining: false,
            ready: false,
            frozen: false,
            yields: false,
            heir: false,
            why: String::new(),
        }
    }
}

impl Stance {
    /// E0: what stands above quality.
    pub fn class(&self) -> u8 {
        match (self.stands_aside(), self.forced == Forced::Active) {
            (true, _) => 0,
            (_, true) => 3,
            _ if self.joining => 1,
            _ => 2,
        }
    }

    /// E0: the lowest class, which serves only where nobody else does.
    pub fn stands_aside(&self) -> bool {
        self.maintenance || self.forced == Forced::Backup
    }
}

/// E0: how one node stands, as itself or its beats say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It can be active: the host wants it, and an interface is usable.
    pub able: bool,
    pub class: u8,
    pub quality: u8,
    /// Of its adverts.
    pub priority: u8,
    pub preferred: bool,
    pub ready: bool,
    /// Interfaces that do not speak, or are rated bad.
    pub hurt: usize,
}

/// What the priority of a group's adverts follows from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub election: Election,
    pub carrier_weight: u8,
    pub stance: &'a Stance,
    /// The interfaces of its routers, and how many of them are hurt.
    pub interfaces: usize,
    pub hurt: usize,
    /// E3: this node claims a disputed interface.
    pub claims: bool,
}

/// The priority of the adverts: RFC 9568 section 5.2.4, E2, E3 and E10.
pub fn priority(facts: &Facts<'_>) -> u8 {
    if facts.stance.stands_aside() {
        return LEAST;
    }
    let normal = match facts.election {
        Election::Priority { priority, .. } => {
            let hurt = u8::try_from(facts.hurt).unwrap_or(u8::MAX);
            let weight = facts.carrier_weight.saturating_mul(hurt);
            priority.saturating_sub(weight).max(LEAST)
        }
        Election::Quality { preferred, .. } => {
            QUALITY_BASE + 2 * quality(facts) + u8::from(preferred == Some(true))
        }
    };
    if facts.claims || facts.stance.forced == Forced::Active {
        normal.max(CLAIM)
    } else {
        normal
    }
}

/// How fit this node is, 0-100: what the host says, and the interfaces' share.
pub fn quality(facts: &Facts<'_>) -> u8 {
    facts.stance.quality.min(interface_quality(facts))
}

fn interface_quality(facts: &Facts<'_>) -> u8 {
    let sound = facts.interfaces.saturating_sub(facts.hurt);
    let share = (sound * 100).checked_div(facts.interfaces).unwrap_or(0);
    u8::try_from(share).unwrap_or(100)
}

/// How long an active router of lower priority is suffered before it is preempted; None: for ever.
///
/// `changes` counts this node's changes of role within the last five minutes (E9).
pub fn preempts_after_ns(facts: &Facts<'_>, own: u8, heard: u8, changes: u32) -> Option<u64> {
    if own <= heard {
        return None;
    }
    match facts.election {
        // RFC 9568 section 6.1: the owner preempts whatever Preempt_Mode says
        _ if own == OWNER || facts.claims || facts.stance.forced == Forced::Active => Some(0),
        Election::Priority {
            preempt,
            preempt_delay_ns,
            ..
        } => preempt.then_some(preempt_delay_ns),
        // the other one stands aside: nothing to wait for
        Election::Quality { .. } if heard == LEAST => Some(0),
        Election::Quality {
            preferred,
            fallback_delay_ns,
            hold_ns,
        } => {
            let ours = own - u8::from(preferred == Some(true));
            let theirs = heard.saturating_sub(u8::from(preferred == Some(false)));
            let points = ours.saturating_sub(theirs) / 2;
            if points >= QUALITY_STEP {
                let doubled = hold_ns.saturating_mul(1 << changes.saturating_sub(1).min(6));
                Some(doubled.min(HOLD_MAX_NS.max(hold_ns)))
            } else {
                (preferred == Some(true)).then_some(fallback_delay_ns)
            }
        }
    }
}

/// RFC 9568 section 6.4.3: the higher priority, then the greater address.
pub fn wins(own: (u8, IpAddr), other: (u8, IpAddr)) -> bool {
    own > other
}

/// Why the group is what it is: the sentence of `sparectl why`, after "NODE is ROLE because".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody was heard since this node began to listen.
    NobodyHeard {
        interfaces: String,
        for_ns: u64,
    },
    PeerSilent {
        peer: IpAddr,
        interfaces: String,
        for_ns: u64,
    },
    PeerResigned {
        peer: IpAddr,
    },
    Preempts {
        own: u8,
        peer: IpAddr,
        theirs: u8,
    },
    Fitter {
        own: u8,
        peer: IpAddr,
        theirs: u8,
    },
    Preferred {
        peer: IpAddr,
    },
    Owner,
    Claims {
        interface: String,
        peer: IpAddr,
    },
    ForcedActive {
        why: String,
    },
    /// Backup: an active router was heard.
    PeerActive {
        peer: IpAddr,
        theirs: u8,
        own: u8,
    },
    Listens {
        for_ns: u64,
    },
    Hurt {
        what: String,
    },
    StandsAside {
        why: String,
    },
    Late {
        by_ns: u64,
    },
    PublishFailed,
    Muted {
        interface: String,
    },
    /// Fault: no interface is usable.
    Isolated {
        what: String,
    },
    Barred {
        why: String,
    },
    Withdrawn,
    ShutsDown,
}

impl Why {
    /// The word that programs read, `REASON=` in the journal: the list in the manual page.
    pub fn reason(&self) -> &'static str {
        match self {
            Why::NobodyHeard { .. } => "nobody-heard",
            Why::PeerSilent { .. } => "peer-silent",
            Why::PeerResigned { .. } => "peer-resigned",
            Why::Preempts { .. } => "priority",
            Why::Fitter { .. } => "quality",
            Why::Preferred { .. } => "preferred",
            Why::Owner => "owner",
            Why::Claims { .. } => "disputed-interface",
            Why::ForcedActive { .. } => "forced",
            Why::PeerActive { .. } => "peer-active",
            Why::Listens { .. } => "listening",
            Why::Hurt { .. } => "interface-hurt",
            Why::StandsAside { .. } => "stands-aside",
            Why::Late { .. } => "late",
            Why::PublishFailed => "fence-not-open",
            Why::Muted { .. } => "adverts-unsent",
            Why::Isolated { .. } => "isolated",
            Why::Barred { .. } => "barred",
            Why::Withdrawn => "withdrawn",
            Why::ShutsDown => "shutdown",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NobodyHeard { interfaces, for_ns } => {
                write!(f, "nobody was heard on {interfaces} for {}", Ms(*for_ns))
            }
            Why::PeerSilent {
                peer,
                interfaces,
                for_ns,
            } => {
                write!(f, "{peer} fell silent on {interfaces} for {}", Ms(*for_ns))
            }
            Why::PeerResigned { peer } => write!(f, "{peer} resigned"),
            Why::Preempts { own, peer, theirs } => {
                write!(f, "its priority is {own} and {peer}'s is {theirs}")
            }
            Why::Fitter { own, peer, theirs } => write!(
                f,
                "its quality is {} and {peer}'s is {}",
                quality_of(*own),
                quality_of(*theirs)
            ),
            Why::Preferred { peer } => write!(f, "it is preferred and {peer} is no fitter"),
            Why::Owner => f.write_str("it owns the addresses (priority 255)"),
            Why::Claims { interface, peer } => write!(
                f,
                "{peer} is unheard on {interface}, where other stations answer this node"
            ),
            Why::ForcedActive { why } => write!(f, "{}", or(why, "it is forced")),
            Why::PeerActive { peer, theirs, own } => {
                write!(f, "{peer} is active (priority {theirs}, here {own})")
            }
            Why::Listens { for_ns } => {
                write!(
                    f,
                    "it listens for {} whether another router is active",
                    Ms(*for_ns)
                )
            }
            Why::Hurt { what } => write!(f, "{what}: it gives another router the chance"),
            Why::StandsAside { why } => write!(f, "{}", or(why, "it is forced to be backup")),
            Why::Late { by_ns } => {
                write!(
                    f,
                    "its advert would have been {} late, longer than its lease",
                    Ms(*by_ns)
                )
            }
            Why::PublishFailed => f.write_str("the host did not open the fence"),
            Why::Muted { interface } => write!(f, "its adverts do not leave {interface}"),
            Why::Isolated { what } => write!(f, "no interface is usable: {what}"),
            Why::Barred { why } => write!(f, "{}", or(why, "the host does not want it active")),
            Why::ShutsDown => f.write_str("it shuts down"),
            Why::Withdrawn => f.write_str("the group is no longer configured"),
        }
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// E10 backwards.
fn quality_of(priority: u8) -> u8 {
    (priority.saturating_sub(QUALITY_BASE) / 2).min(100)
}

/// Nanoseconds as a reader wants them: "303 ms", "3.4 s".
pub(crate) struct Ms(pub u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        if ms < 10 {
            write!(f, "{}.{} ms", ms, self.0 / 100_000 % 10)
        } else if ms < 10_000 {
            write!(f, "{ms} ms")
        } else {
            write!(f, "{}.{} s", ms / 1000, ms / 100 % 10)
        }
    }
}
