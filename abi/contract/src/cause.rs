//! Reason why a group has its role, as a kind with numbers.

use serde::{Deserialize, Serialize};
use spared_abi as abi;

use crate::Role;
use crate::named::named;
use crate::record::record;

named! {
    /// Kind of a cause, with the words of [`Cause::reason`].
    #[serde(from = "u32", into = "u32")]
    pub enum CauseKind {
        /// None of the other kinds: see the text.
        Other = CAUSE_OTHER,
        /// No router was heard since this node started to listen: `interface`, `for_ns`.
        NobodyHeard = CAUSE_NOBODY_HEARD,
        /// The peer fell silent: `peer`, `interface`, `for_ns`.
        PeerSilent = CAUSE_PEER_SILENT,
        /// The peer resigned: `peer`.
        PeerResigned = CAUSE_PEER_RESIGNED,
        /// Another router is active: `peer`; `own` and `theirs` are priorities.
        PeerActive = CAUSE_PEER_ACTIVE,
        /// The peer cannot be active: `peer`.
        PeerUnable = CAUSE_PEER_UNABLE,
        /// The peer is forced backup, or in maintenance: `peer`.
        PeerAside = CAUSE_PEER_ASIDE,
        /// The peer is not in sync: `peer`.
        PeerJoining = CAUSE_PEER_JOINING,
        /// The peer is forced active: `peer`.
        PeerForced = CAUSE_PEER_FORCED,
        /// Both nodes' qualities, compared: `own`, `theirs`, `peer`; `text` has faults of interfaces here.
        Quality = CAUSE_QUALITY,
        /// Both nodes' priorities, compared: `own`, `theirs`, `peer`.
        Priority = CAUSE_PRIORITY,
        /// This node is preferred, and the peer is not fitter: `peer`.
        Preferred = CAUSE_PREFERRED,
        /// This node is preferred but backup: `peer`; `for_ns` is the delay, `text` what this node lacks.
        Failback = CAUSE_FAILBACK,
        /// This node owns the addresses.
        Owner = CAUSE_OWNER,
        /// Forced active: `text`; with `peer`, `own` and `theirs` are the qualities by which the peer would be.
        Forced = CAUSE_FORCED,
        /// Forced backup, or in maintenance: `text`.
        StandsAside = CAUSE_STANDS_ASIDE,
        /// The host does not allow it to be active: `text`.
        Barred = CAUSE_BARRED,
        /// An interface on which one node does not hear the other: `interface`, `peer`.
        UnheardInterface = CAUSE_UNHEARD_INTERFACE,
        /// An interface that does not carry the group: `text`, as "lan1 is down".
        InterfaceHurt = CAUSE_INTERFACE_HURT,
        /// No interface is usable: `text`, as "lan1 is down, lan2 is down".
        Isolated = CAUSE_ISOLATED,
        /// Adverts cannot leave an interface: `interface`.
        AdvertsUnsent = CAUSE_ADVERTS_UNSENT,
        /// The peer switched over: `peer`.
        Switchover = CAUSE_SWITCHOVER,
        /// An administrator or the host asked for a switchover: `text`.
        Asked = CAUSE_ASKED,
        /// This node is not in sync.
        NotInSync = CAUSE_NOT_IN_SYNC,
        /// This node has just started to listen: `for_ns`.
        Listening = CAUSE_LISTENING,
        /// An advert, or a decision to become active, came too late: `for_ns`.
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
        /// The peer was active, too, and has given way: `peer`, `for_ns`.
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
    default is Other
    unknown is Other
}

record! {
    /// Why a group has its role, according to the elector or the host. Its kind says which fields it has.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(default)]
    pub struct Cause {
        /// Kind of the cause.
        pub kind: CauseKind = 0,
        /// `CAUSE_BY_SWITCHOVER` and later flags.
        pub flags: u32 = 1,
        /// This node's quality or priority.
        pub own: u32 = 2,
        /// The peer's.
        pub theirs: u32 = 3,
        /// A time.
        pub for_ns: u64 = 4,
        /// The other router: its name, or its address.
        pub peer: String = 5,
        /// An interface, or several with ", " between them.
        pub interface: String = 6,
        /// Free text.
        pub text: String = 7,
    }
}

impl Cause {
    /// Creates a cause of this kind, without further fields.
    pub fn of(kind: CauseKind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// Creates a cause with a text, alone or in addition to its kind.
    pub fn new(kind: CauseKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            ..Self::default()
        }
    }

    /// Returns true if the group moved by a switchover.
    pub fn is_by_switchover(&self) -> bool {
        self.kind == CauseKind::Switchover || self.has(abi::CAUSE_BY_SWITCHOVER)
    }

    /// Returns true if the node that reports this has switched over to the peer, not the peer to it.
    pub fn gives_away(&self, role: Role) -> bool {
        role != Role::Active && self.has(abi::CAUSE_BY_SWITCHOVER)
    }

    /// Returns true if a flag of `flags` is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Word for programs: `REASON=` in the journal.
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
            Role::Active => abi::CAUSE_OWN_PREFERRED,
            _ => abi::CAUSE_PEER_PREFERRED,
        };
        match self.is_fitter(role) {
            Some(true) => "quality",
            None if self.has(preferred) => "preferred",
            Some(false) if role != Role::Active => "peer-active",
            _ => "active-first",
        }
    }

    /// Returns true if the node that is active by this cause is the fitter one; None if both are equally fit.
    pub fn is_fitter(&self, role: Role) -> Option<bool> {
        let (active, backup) = match role {
            Role::Active => (self.own, self.theirs),
            _ => (self.theirs, self.own),
        };
        (active != backup).then_some(active > backup)
    }
}
