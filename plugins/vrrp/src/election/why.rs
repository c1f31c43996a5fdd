//! The sentences of `sparectl why`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::QUALITY_BASE;

/// Another router: by its name where heartbeats tell it, else by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Node(Arc<str>),
    Address(IpAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Node(name) => f.write_str(name),
            Who::Address(address) => address.fmt(f),
        }
    }
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
        peer: Who,
        interfaces: String,
        for_ns: u64,
    },
    PeerResigned {
        peer: Who,
    },
    Preempts {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    Fitter {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    Preferred {
        peer: Who,
    },
    /// Of both nodes, which hear each other.
    Equal {
        quality: u8,
        peer: Who,
        tie: Tie,
    },
    /// Active, though the other is fitter.
    Lesser {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    /// Active: the other one cannot or should not be.
    PeerAside {
        peer: Who,
        how: Aside,
    },
    Owner,
    Claims {
        interface: String,
        peer: Who,
    },
    ForcedActive {
        why: String,
        /// Who would be active without that, by which quality against which.
        without: Option<(Who, u8, u8)>,
    },
    /// Active: the other switched over, both by priority.
    SwitchedOver {
        peer: Who,
    },
    /// Backup: it switched over to the other.
    SwitchesOver {
        peer: Who,
        why: Box<Why>,
    },
    /// Backup: the other is active, and fitter.
    Weaker {
        own: u8,
        hurt: String,
        peer: Who,
        theirs: u8,
    },
    /// Backup, though fitter: the other one is to switch over.
    Awaits {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    PeerForced {
        peer: Who,
    },
    /// It switches over: the other has the higher priority.
    Outranked {
        own: u8,
        peer: Who,
        theirs: u8,
    },
    /// It switches over: the other hears no adverts there.
    Unheard {
        interfaces: String,
        peer: Who,
    },
    /// It switches over: it does not have all that the other knows.
    NotInSync,
    /// It switches over: somebody wants it so.
    Asked {
        why: String,
    },
    /// Backup though preferred.
    NotYetPreferred {
        peer: Who,
        ready: bool,
        why: String,
        failback_ns: u64,
    },
    /// Backup: an active router was heard.
    PeerActive {
        peer: Who,
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
    /// Another machine was this run.
    Cloned,
    /// The peer hears another machine with this node's keys.
    Second,
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

/// What tells two equally fit nodes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    Preferred,
    First,
    /// The other one is preferred, and not yet ready for long enough.
    FirstThough,
    PeerPreferred,
    PeerFirst,
}

/// Why the other node is out of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    Unable,
    Wanted,
    Joining,
}

impl Why {
    /// Joins it to "NODE is ROLE".
    pub fn conjunction(&self) -> &'static str {
        match self {
            Why::Equal {
                quality,
                tie: Tie::Preferred | Tie::First | Tie::FirstThough,
                ..
            } if *quality < 100 => "although",
            Why::Lesser { .. } | Why::Awaits { .. } | Why::NotYetPreferred { .. } => "although",
            _ => "because",
        }
    }

    /// The word that programs read, `REASON=` in the journal: the list in the manual page.
    pub fn reason(&self) -> &'static str {
        match self {
            Why::NobodyHeard { .. } => "nobody-heard",
            Why::PeerSilent { .. } => "peer-silent",
            Why::PeerResigned { .. } => "peer-resigned",
            Why::Preempts { .. } => "priority",
            Why::Fitter { .. } => "quality",
            Why::Preferred { .. } => "preferred",
            Why::Equal {
                tie: Tie::Preferred,
                ..
            } => "preferred",
            Why::Equal { .. } | Why::Lesser { .. } => "active-first",
            Why::PeerAside { .. } => "peer-aside",
            Why::SwitchedOver { .. } | Why::SwitchesOver { .. } => "switchover",
            Why::Weaker { .. } => "quality",
            Why::Awaits { .. } | Why::NotYetPreferred { .. } => "peer-active",
            Why::PeerForced { .. } => "forced",
            Why::Outranked { .. } => "priority",
            Why::Unheard { .. } => "unheard-interface",
            Why::NotInSync => "not-in-sync",
            Why::Asked { .. } => "switchover",
            Why::Owner => "owner",
            Why::Claims { .. } => "unheard-interface",
            Why::ForcedActive { .. } => "forced",
            Why::PeerActive { .. } => "peer-active",
            Why::Listens { .. } => "listening",
            Why::Hurt { .. } => "interface-hurt",
            Why::StandsAside { .. } => "stands-aside",
            Why::Late { .. } => "late",
            Why::PublishFailed => "fence-blocking",
            Why::Cloned => "cloned",
            Why::Second => "second",
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
            Why::Fitter { own, peer, theirs } => {
                write!(f, "its quality is {own} and {peer}'s is {theirs}")
            }
            Why::Equal { quality, peer, tie } => equal(f, *quality, peer, *tie),
            Why::Lesser { own, peer, theirs } => {
                write!(
                    f,
                    "its quality is {own}: {peer}'s is {theirs}, and it was active first"
                )
            }
            Why::PeerAside { peer, how } => match how {
                Aside::Unable => write!(f, "{peer} cannot be"),
                Aside::Wanted => write!(f, "{peer} is forced to be backup, or in maintenance"),
                Aside::Joining => write!(f, "{peer} is not yet in sync"),
            },
            Why::SwitchedOver { peer } => write!(f, "{peer} switched over"),
            Why::SwitchesOver { peer, why } => write!(f, "it switched over to {peer}: {why}"),
            Why::Weaker {
                own,
                hurt,
                peer,
                theirs,
            } => {
                let hurt = if hurt.is_empty() {
                    String::new()
                } else {
                    format!(" ({hurt})")
                };
                write!(f, "its quality is {own}{hurt} and {peer}'s is {theirs}")
            }
            Why::Awaits { own, peer, theirs } => write!(
                f,
                "its quality is {own} and {peer}'s is {theirs}: {peer} is active, and is to switch over"
            ),
            Why::PeerForced { peer } => write!(f, "{peer} is forced to be active"),
            Why::Outranked { own, peer, theirs } => {
                write!(f, "its priority is {own} and {peer}'s is {theirs}")
            }
            Why::Unheard { interfaces, peer } => write!(
                f,
                "{peer} does not hear it on {interfaces}, and nobody there tells whose wire is at fault"
            ),
            Why::NotInSync => f.write_str("it is not yet in sync"),
            Why::Asked { why } => f.write_str(or(why, "it was asked to")),
            Why::NotYetPreferred {
                peer,
                ready,
                why,
                failback_ns,
            } => {
                let after = Ms(*failback_ns);
                if *ready {
                    write!(
                        f,
                        "preferred: {peer} switches over when this node was ready for {after}"
                    )
                } else {
                    let why = or(why, "it is not ready");
                    write!(f, "preferred: {why}; it takes over {after} after that")
                }
            }
            Why::Preferred { peer } => write!(f, "it is preferred and {peer} is no fitter"),
            Why::Owner => f.write_str("it owns the addresses (priority 255)"),
            Why::Claims { interface, peer } => write!(
                f,
                "{peer} is unheard on {interface}, where other stations answer this node"
            ),
            Why::ForcedActive { why, without } => {
                f.write_str(or(why, "it is forced"))?;
                if let Some((peer, theirs, own)) = without {
                    write!(f, "; without that {peer} would be ({theirs} against {own})")?;
                }
                Ok(())
            }
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
            Why::Cloned => f.write_str("another machine has sent this run's heartbeats"),
            Why::Second => f.write_str("the peer hears another machine with this node's key"),
            Why::PublishFailed => f.write_str("the host did not let the fence pass"),
            Why::Muted { interface } => write!(f, "its adverts do not leave {interface}"),
            Why::Isolated { what } => write!(f, "no interface is usable: {what}"),
            Why::Barred { why } => write!(f, "{}", or(why, "the host does not want it active")),
            Why::ShutsDown => f.write_str("it shuts down"),
            Why::Withdrawn => f.write_str("the group is no longer configured"),
        }
    }
}

fn equal(f: &mut fmt::Formatter<'_>, quality: u8, peer: &Who, tie: Tie) -> fmt::Result {
    if quality < 100 {
        write!(
            f,
            "its quality is {quality}: {peer}'s is {quality} too, so both are equally hurt"
        )?;
    } else {
        write!(f, "both nodes have quality 100")?;
    }
    match tie {
        Tie::Preferred => f.write_str(" and it is preferred"),
        Tie::First => f.write_str(", no node is preferred, and it was active first"),
        Tie::FirstThough => write!(f, ", and {peer}, though preferred, was active later"),
        Tie::PeerPreferred => write!(f, " and {peer} is preferred"),
        Tie::PeerFirst => write!(f, ", no node is preferred, and {peer} was active first"),
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// E10 backwards.
pub fn quality_of(priority: u8) -> u8 {
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
        } else if ms % 1000 == 0 {
            write!(f, "{} s", ms / 1000)
        } else {
            write!(f, "{}.{} s", ms / 1000, ms / 100 % 10)
        }
    }
}
