//! Why a group has its role: a kind with numbers, and the sentences made of them.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::facts::{Forced, Role};
use crate::history::Fitness;

macro_rules! kinds {
    ($($(#[doc = $text:literal])+ $kind:ident = $number:ident,)+) => {
        /// Kind of a cause, with the words of [`Cause::reason`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "u32", into = "u32")]
        pub enum CauseKind {
            /// None of the other kinds: see the text.
            #[default]
            Other,
            $($(#[doc = $text])+ $kind,)+
        }

        impl From<u32> for CauseKind {
            fn from(number: u32) -> Self {
                match number {
                    $(spared_abi::$number => Self::$kind,)+
                    _ => Self::Other,
                }
            }
        }

        impl From<CauseKind> for u32 {
            fn from(kind: CauseKind) -> Self {
                match kind {
                    CauseKind::Other => spared_abi::CAUSE_OTHER,
                    $(CauseKind::$kind => spared_abi::$number,)+
                }
            }
        }

        #[cfg(test)]
        const KINDS: &[CauseKind] = &[CauseKind::Other, $(CauseKind::$kind,)+];
    };
}

kinds! {
    /// No router was heard since this node started to listen.
    NobodyHeard = CAUSE_NOBODY_HEARD,
    /// The peer fell silent.
    PeerSilent = CAUSE_PEER_SILENT,
    /// The peer resigned.
    PeerResigned = CAUSE_PEER_RESIGNED,
    /// Another router is active; the numbers are priorities.
    PeerActive = CAUSE_PEER_ACTIVE,
    /// The peer cannot be active.
    PeerUnable = CAUSE_PEER_UNABLE,
    /// The peer is forced backup, or in maintenance.
    PeerAside = CAUSE_PEER_ASIDE,
    /// The peer is not in sync.
    PeerJoining = CAUSE_PEER_JOINING,
    /// The peer is forced active.
    PeerForced = CAUSE_PEER_FORCED,
    /// Both nodes' qualities, compared.
    Quality = CAUSE_QUALITY,
    /// Both nodes' priorities, compared.
    Priority = CAUSE_PRIORITY,
    /// This node is preferred, and the peer is not fitter.
    Preferred = CAUSE_PREFERRED,
    /// This node is preferred but backup.
    Failback = CAUSE_FAILBACK,
    /// This node owns the addresses.
    Owner = CAUSE_OWNER,
    /// Forced active.
    Forced = CAUSE_FORCED,
    /// Forced backup, or in maintenance.
    StandsAside = CAUSE_STANDS_ASIDE,
    /// The host does not allow it to be active.
    Barred = CAUSE_BARRED,
    /// An interface on which one node does not hear the other.
    UnheardInterface = CAUSE_UNHEARD_INTERFACE,
    /// An interface that does not carry the group.
    InterfaceHurt = CAUSE_INTERFACE_HURT,
    /// No interface is usable.
    Isolated = CAUSE_ISOLATED,
    /// Adverts cannot leave an interface.
    AdvertsUnsent = CAUSE_ADVERTS_UNSENT,
    /// The peer switched over.
    Switchover = CAUSE_SWITCHOVER,
    /// An administrator or the host asked for a switchover.
    Asked = CAUSE_ASKED,
    /// This node is not in sync.
    NotInSync = CAUSE_NOT_IN_SYNC,
    /// This node has just started to listen.
    Listening = CAUSE_LISTENING,
    /// An advert, or a decision to become active, came too late.
    Late = CAUSE_LATE,
    /// The host did not let the fence pass.
    FenceBlocking = CAUSE_FENCE_BLOCKING,
    /// Another machine sends in the name of this run.
    Cloned = CAUSE_CLONED,
    /// The peer hears another machine with this node's key.
    Second = CAUSE_SECOND,
    /// The group is no longer configured.
    Withdrawn = CAUSE_WITHDRAWN,
    /// The plugin ends.
    Shutdown = CAUSE_SHUTDOWN,
    /// The peer was active, too, and has given way.
    Conflict = CAUSE_CONFLICT,
    /// Nothing was published yet.
    Claimed = CAUSE_CLAIMED,
    /// The elector has ended.
    ElectorDied = CAUSE_ELECTOR_DIED,
    /// No advert renewed the lease.
    Lapsed = CAUSE_LAPSED,
    /// The kernel refused the lease.
    Kernel = CAUSE_KERNEL,
    /// The previous run ended abnormally.
    Started = CAUSE_STARTED,
}

/// Why a group has its role, according to the elector or the host. plugin.h lists the fields of
/// each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Kind of the cause.
    pub kind: CauseKind,
    /// `CAUSE_BY_SWITCHOVER` and later flags.
    pub flags: u32,
    /// This node's quality or priority.
    pub own: u32,
    /// The peer's.
    pub theirs: u32,
    /// A time.
    pub for_ns: u64,
    /// The other router: its name, or its address.
    pub peer: String,
    /// An interface, or several with ", " between them.
    pub interface: String,
    /// Free text.
    pub text: String,
}

impl Cause {
    /// A cause with a text, alone or in addition to its kind.
    pub fn new(kind: CauseKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            ..Self::default()
        }
    }

    /// The group moved by a switchover.
    pub fn is_by_switchover(&self) -> bool {
        self.kind == CauseKind::Switchover || self.has(spared_abi::CAUSE_BY_SWITCHOVER)
    }

    /// The node that says this has switched over to the peer, not the peer to it.
    fn gives_away(&self, role: Role) -> bool {
        role != Role::Active && self.has(spared_abi::CAUSE_BY_SWITCHOVER)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The word for programs: `REASON=` in the journal.
    pub fn reason(&self, role: Role) -> &'static str {
        if self.is_by_switchover() {
            return "switchover";
        }
        match self.kind {
            CauseKind::Other => "other",
            CauseKind::NobodyHeard => "nobody-heard",
            CauseKind::PeerSilent => "peer-silent",
            CauseKind::PeerResigned => "peer-resigned",
            CauseKind::PeerActive | CauseKind::Failback => "peer-active",
            CauseKind::PeerUnable | CauseKind::PeerAside | CauseKind::PeerJoining => "peer-aside",
            CauseKind::PeerForced | CauseKind::Forced => "forced",
            CauseKind::Quality => self.reason_of_quality(role),
            CauseKind::Priority => "priority",
            CauseKind::Preferred => "preferred",
            CauseKind::Owner => "owner",
            CauseKind::StandsAside => "stands-aside",
            CauseKind::Barred => "barred",
            CauseKind::UnheardInterface => "unheard-interface",
            CauseKind::InterfaceHurt => "interface-hurt",
            CauseKind::Isolated => "isolated",
            CauseKind::AdvertsUnsent => "adverts-unsent",
            CauseKind::Switchover | CauseKind::Asked => "switchover",
            CauseKind::NotInSync => "not-in-sync",
            CauseKind::Listening => "listening",
            CauseKind::Late => "late",
            CauseKind::FenceBlocking => "fence-blocking",
            CauseKind::Cloned => "cloned",
            CauseKind::Second => "second",
            CauseKind::Withdrawn => "withdrawn",
            CauseKind::Shutdown => "shutdown",
            CauseKind::Conflict => "conflict",
            CauseKind::Claimed => "claimed",
            CauseKind::ElectorDied => "elector-died",
            CauseKind::Lapsed => "lapsed",
            CauseKind::Kernel => "kernel",
            CauseKind::Started => "started",
        }
    }

    fn reason_of_quality(&self, role: Role) -> &'static str {
        let preferred = match role {
            Role::Active => spared_abi::CAUSE_OWN_PREFERRED,
            _ => spared_abi::CAUSE_PEER_PREFERRED,
        };
        match self.is_fitter(role) {
            Some(true) => "quality",
            None if self.has(preferred) => "preferred",
            Some(false) if role != Role::Active => "peer-active",
            _ => "active-first",
        }
    }

    /// True if the node that is active by this cause is the fitter one; None: both are equally fit.
    fn is_fitter(&self, role: Role) -> Option<bool> {
        let (active, backup) = match role {
            Role::Active => (self.own, self.theirs),
            _ => (self.theirs, self.own),
        };
        (active != backup).then_some(active > backup)
    }

    /// "fw1 is backup because its quality is 73 (interface "in" has no carrier) and fw2's is 100":
    /// with the worst check behind each quality that is still current.
    pub fn sentence(&self, role: Role, own: &Fitness, peer: Option<&Fitness>) -> String {
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

    /// The part of the sentence after "fw1 is backup because".
    pub fn clause(&self, role: Role) -> String {
        let (cause, nodes) = (self, Nodes::default());
        Clause { cause, role, nodes }.to_string()
    }

    fn who(&self) -> &str {
        or(&self.peer, "another router")
    }
}

/// Addition to the sentence of a group that an administrator forced: nothing, where maintenance outweighs that.
pub fn undo(forced: Forced, is_in_maintenance: bool) -> &'static str {
    const UNDO: &str = ". Undo: sparectl force reset";
    match forced {
        Forced::No => "",
        Forced::Active if is_in_maintenance => "",
        Forced::Active | Forced::Backup => UNDO,
    }
}

const QUALITY_MAX: u32 = spared_abi::QUALITY_MAX;

/// Facts about both nodes, for the checks behind a quality.
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
            write!(f, "it switched over to {}: ", cause.who())?;
        }
        let (peer, own, theirs) = (cause.who(), cause.own, cause.theirs);
        let (text, time) = (cause.text.as_str(), Time(cause.for_ns));
        let on = On(&cause.interface);
        match cause.kind {
            CauseKind::NobodyHeard => write!(f, "nobody was heard{on} for {time}"),
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
                write!(f, "; without that {peer} would be ({theirs} against {own})")
            }
            CauseKind::StandsAside => f.write_str(or(text, "it is forced to be backup")),
            CauseKind::Barred => f.write_str(or(text, "the host does not let it be active")),
            CauseKind::UnheardInterface => self.unheard(f),
            CauseKind::InterfaceHurt => {
                let hurt = or(text, "an interface does not carry it");
                write!(f, "{hurt}: it leaves the role to another router")
            }
            CauseKind::Isolated if text.is_empty() => f.write_str("no interface is usable"),
            CauseKind::Isolated => write!(f, "no interface is usable: {text}"),
            CauseKind::AdvertsUnsent => {
                write!(f, "its adverts do not leave {}", or(&cause.interface, "it"))
            }
            CauseKind::Switchover => write!(f, "{peer} switched over"),
            CauseKind::Asked => f.write_str(or(text, "it was asked to")),
            CauseKind::NotInSync => f.write_str("it is not yet in sync"),
            CauseKind::Listening => {
                write!(f, "it listens for {time}, in case another router is active")
            }
            CauseKind::Late if cause.for_ns > 0 => write!(
                f,
                "its advert would have been {time} late, longer than its lease"
            ),
            CauseKind::FenceBlocking => f.write_str("the host did not let the fence pass"),
            CauseKind::Cloned => f.write_str("another machine has sent this run's heartbeats"),
            CauseKind::Second => f.write_str("the peer hears another machine with this node's key"),
            CauseKind::Withdrawn => f.write_str("the group is no longer configured"),
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
            | CauseKind::Other => f.write_str(or(text, "the elector gives no reason")),
        }
    }
}

impl Clause<'_> {
    fn quality(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, peer) = (self.cause, self.cause.who());
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
                        "its quality is {own}: {peer}'s is {theirs} too, so both are equally hurt"
                    )?;
                } else {
                    f.write_str("both nodes have quality 100")?;
                }
                self.tie(f)
            }
        }
    }

    fn tie(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.cause.who();
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

    // The active node is heard on an interface on which it does not hear the other.
    fn unheard(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, on) = (self.cause.who(), On(&self.cause.interface));
        match self.role {
            Role::Active => write!(
                f,
                "{peer} is unheard{on}, where other stations answer this node"
            ),
            _ => write!(
                f,
                "{peer} does not hear it{on}, and no station there shows whose connection is at fault"
            ),
        }
    }

    // The plugin's knowledge of interfaces is newer than any check.
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

/// A quality, with the worst check of the node if the quality is current.
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

/// " on lan1, lan2"; empty without interfaces.
struct On<'a>(&'a str);

impl Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            interfaces => write!(f, " on {interfaces}"),
        }
    }
}

/// Nanoseconds in readable form: "303 ms", "3.4 s".
struct Time(u64);

impl Display for Time {
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

#[cfg(test)]
mod tests;
