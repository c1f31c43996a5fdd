//! Numbers and bits of the contract between the daemon and its plugins. Its messages, and the types in them, are in
//! `spared-contract`; `contract.cddl` has all of it for other languages.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// Status of a callback: 0, [`PENDING`], [`RESTART`], [`ATTENTION`], or a negative errno down to -4095; any other number
/// is taken for -EPROTO.
pub type Status = i32;

/// Brand of a host that is no fork.
pub const BRAND: &str = "spared";
/// The callback is through later.
pub const PENDING: Status = 1;
/// From `configure` only: valid, but only a new worker can use it.
pub const RESTART: Status = 2;
/// From `query` only, at once or later: answered, and the rows report something that needs attention.
pub const ATTENTION: Status = 3;

// ---- descriptors and roles

/// Bits that must be understood, in any flags.
pub const FLAGS_REQUIRED: u32 = 0xffff_0000;
/// Wants real-time priority and locked memory.
pub const PLUGIN_REALTIME: u32 = 0x1;
/// Reads and runs files that its configuration names.
pub const PLUGIN_FILES: u32 = 0x2;
/// With [`PLUGIN_FILES`]: also writes them.
pub const PLUGIN_WRITE: u32 = 0x4;
/// Runs as root and unconfined.
pub const PLUGIN_ROOT: u32 = 0x8;
/// By default its failure leaves the node as fit as before.
pub const PLUGIN_ASIDE: u32 = 0x10;
/// It has the part `documents`: it may read what read-only users may.
pub const PLUGIN_DOCUMENTS: u32 = 0x20;
/// Memory, threads, time, reads and writes files, uses sockets that it has.
pub const CALLS_BASIC: u32 = 0x1;
/// Makes, renames, removes, locks and changes files.
pub const CALLS_FILES: u32 = 0x2;
/// Makes sockets.
pub const CALLS_SOCKETS: u32 = 0x4;
/// Starts programs.
pub const CALLS_PROGRAMS: u32 = 0x8;
/// Role backup.
pub const ROLE_BACKUP: u32 = 1;
/// Role active.
pub const ROLE_ACTIVE: u32 = 2;
/// Backup, and cannot become active.
pub const ROLE_FAULT: u32 = 3;

// ---- groups, for the plugin that decides roles

/// No role is forced.
pub const FORCED_NO: u32 = 0;
/// An administrator forced the group active here.
pub const FORCED_ACTIVE: u32 = 1;
/// An administrator forced the group backup here.
pub const FORCED_BACKUP: u32 = 2;
/// Quality of a node whose checks all pass.
pub const QUALITY_MAX: u32 = 100;
/// Nodes whose qualities differ by less are equally fit.
pub const QUALITY_STEP: u32 = 5;
/// Another cause, told by its text.
pub const CAUSE_OTHER: u32 = 0;
/// Nobody was heard.
pub const CAUSE_NOBODY_HEARD: u32 = 1;
/// The peer is silent.
pub const CAUSE_PEER_SILENT: u32 = 2;
/// The peer resigned.
pub const CAUSE_PEER_RESIGNED: u32 = 3;
/// The peer is active; `own` and `theirs` are priorities.
pub const CAUSE_PEER_ACTIVE: u32 = 4;
/// The peer cannot be active.
pub const CAUSE_PEER_UNABLE: u32 = 5;
/// The peer is forced backup or in maintenance.
pub const CAUSE_PEER_ASIDE: u32 = 6;
/// The peer is not yet in sync.
pub const CAUSE_PEER_JOINING: u32 = 7;
/// The peer is forced active.
pub const CAUSE_PEER_FORCED: u32 = 8;
/// One node has the higher quality, or both have the same.
pub const CAUSE_QUALITY: u32 = 9;
/// One node has the higher priority.
pub const CAUSE_PRIORITY: u32 = 10;
/// This node is preferred, and the peer is no fitter.
pub const CAUSE_PREFERRED: u32 = 11;
/// The peer is active, though this node is preferred; `for_ns` is the delay.
pub const CAUSE_FAILBACK: u32 = 12;
/// This node owns the addresses.
pub const CAUSE_OWNER: u32 = 13;
/// An administrator forced the role; `text` is the directive's reason.
pub const CAUSE_FORCED: u32 = 14;
/// This node stands aside.
pub const CAUSE_STANDS_ASIDE: u32 = 15;
/// This node may not be active.
pub const CAUSE_BARRED: u32 = 16;
/// The peer lives and is not heard on an interface.
pub const CAUSE_UNHEARD_INTERFACE: u32 = 17;
/// An interface is hurt; `text` says how.
pub const CAUSE_INTERFACE_HURT: u32 = 18;
/// All interfaces are hurt; `text` says how.
pub const CAUSE_ISOLATED: u32 = 19;
/// Adverts cannot be sent from an interface.
pub const CAUSE_ADVERTS_UNSENT: u32 = 20;
/// A switchover by the peer.
pub const CAUSE_SWITCHOVER: u32 = 21;
/// A switchover by request.
pub const CAUSE_ASKED: u32 = 22;
/// This node is not in sync.
pub const CAUSE_NOT_IN_SYNC: u32 = 23;
/// This node listens first, for `for_ns`.
pub const CAUSE_LISTENING: u32 = 24;
/// An advert was sent `for_ns` after the end of its fence lease.
pub const CAUSE_LATE: u32 = 25;
/// The fence is blocking: a publication failed.
pub const CAUSE_FENCE_BLOCKING: u32 = 26;
/// Another machine sends in this node's name.
pub const CAUSE_CLONED: u32 = 27;
/// The peer hears another machine with its key.
pub const CAUSE_SECOND: u32 = 28;
/// The group is no longer configured.
pub const CAUSE_WITHDRAWN: u32 = 29;
/// The node is being stopped.
pub const CAUSE_SHUTDOWN: u32 = 30;
/// Both nodes were active, and this one won.
pub const CAUSE_CONFLICT: u32 = 31;
/// The daemon's own: no role was published yet.
pub const CAUSE_CLAIMED: u32 = 64;
/// The daemon's own: the elector ended.
pub const CAUSE_ELECTOR_DIED: u32 = 65;
/// The daemon's own: nobody renewed the fence lease.
pub const CAUSE_LAPSED: u32 = 66;
/// The daemon's own: the fence cannot pass.
pub const CAUSE_KERNEL: u32 = 67;
/// The daemon's own: the previous run ended abnormally.
pub const CAUSE_STARTED: u32 = 68;
/// Flag of a cause: the role moved by a switchover, for this reason.
pub const CAUSE_BY_SWITCHOVER: u32 = 0x1;
/// Flag of a cause: this node is preferred.
pub const CAUSE_OWN_PREFERRED: u32 = 0x2;
/// Flag of a cause: the peer is preferred.
pub const CAUSE_PEER_PREFERRED: u32 = 0x4;
/// Flag of a cause: this node is ready.
pub const CAUSE_READY: u32 = 0x8;
/// Groups of a node, and so the longest array of `claim`, `publish` and `announce`.
pub const GROUPS_MAX: u32 = 255;

// ---- interfaces and their sockets

/// No sockets: the state of the interface alone.
pub const SOCKETS_NONE: u32 = 0x0;
/// Sockets for VRRP, for the elector alone.
pub const SOCKETS_VRRP: u32 = 0x1;
/// Sockets for heartbeats, for the elector alone.
pub const SOCKETS_HEARTBEAT: u32 = 0x2;
/// Sockets for echo requests.
pub const SOCKETS_PING: u32 = 0x4;
/// Whole frames of VRRP, both ways.
pub const SOCKET_VRRP_LINK: u32 = 1;
/// Socket vrrp ipv4.
pub const SOCKET_VRRP_IPV4: u32 = 2;
/// Socket vrrp ipv6.
pub const SOCKET_VRRP_IPV6: u32 = 3;
/// Socket stations.
pub const SOCKET_STATIONS: u32 = 4;
/// Socket heartbeat in.
pub const SOCKET_HEARTBEAT_IN: u32 = 5;
/// Socket heartbeat out.
pub const SOCKET_HEARTBEAT_OUT: u32 = 6;
/// Socket ping ipv4.
pub const SOCKET_PING_IPV4: u32 = 7;
/// Socket ping ipv6.
pub const SOCKET_PING_IPV6: u32 = 8;
/// Socket vrrp heartbeat.
pub const SOCKET_VRRP_HEARTBEAT: u32 = 9;

// ---- messages to the peer plugin

/// Maximum bytes of a message to the peer plugin.
pub const PEER_MESSAGE_MAX: u32 = 65536;

// ---- messages to other plugins of this node

/// Maximum bytes of a message to another plugin of this node.
pub const LOCAL_MESSAGE_MAX: u32 = 65536;
/// Maximum number of such plugins.
pub const LOCAL_PARTNERS_MAX: u32 = 8;

// ---- statements that are signed

/// Maximum bytes of a statement.
pub const IDENTITY_STATEMENT_MAX: u32 = 512;
/// Bytes of a signature.
pub const IDENTITY_SIGNATURE_SIZE: u32 = 64;

// ---- checks

/// State of a check that is not known yet.
pub const CHECK_UNKNOWN: u32 = u32::MAX;
/// State of a check of what works here and ends with this node.
pub const CHECK_LOSES: u32 = u32::MAX - 1;

// ---- what plugins add to groups

/// Maximum number of addresses that a plugin adds to a group, and of routes.
pub const ADDITIONS_MAX: u32 = 64;

// ---- how keys compare between the nodes

/// A key must be equal on both nodes; the default.
pub const SCOPE_PAIR: u32 = 1;
/// A key may differ.
pub const SCOPE_NODE: u32 = 2;
/// A key is never compared.
pub const SCOPE_LOCAL: u32 = 3;
/// A key must be equal; it is compared by a digest and shown nowhere.
pub const SCOPE_SECRET: u32 = 4;

// ---- state of the pair

/// Watch the state of the pair.
pub const WATCH_STATUS: u32 = 0x1;
/// Watch the events of this node.
pub const WATCH_EVENTS: u32 = 0x2;
/// All is as configured, and a failover now loses nothing.
pub const VERDICT_OK: u32 = 0;
/// A failover works or may work; the findings name what is wrong.
pub const VERDICT_WARN: u32 = 1;
/// A node serves, and it is unknown whether a failover would work.
pub const VERDICT_UNKNOWN: u32 = 2;
/// A node serves, and there is no backup.
pub const VERDICT_ALONE: u32 = 3;
/// Two routers are active.
pub const VERDICT_CONFLICT: u32 = 4;
/// Nobody is active.
pub const VERDICT_NONE: u32 = 5;

// ---- documents of the daemon

/// Status of both nodes, as `sparectl status` shows it.
pub const DOCUMENT_STATUS: u32 = 1;
/// Causes of all roles, as `sparectl why` shows them.
pub const DOCUMENT_WHY: u32 = 2;
/// Changes of roles, as `sparectl history` shows them.
pub const DOCUMENT_HISTORY: u32 = 3;
/// Newest events, as `sparectl events` shows them.
pub const DOCUMENT_EVENTS: u32 = 4;
/// Snapshot of this node behind `sparectl metrics`, at most a second old.
pub const DOCUMENT_METRICS: u32 = 5;
/// Maximum bytes of a document. The status of 255 groups on both nodes takes about one MiB.
pub const DOCUMENT_MAX: u32 = 8 << 20;

// ---- log, descriptors, rows

/// A line at level ERROR.
pub const LOG_ERROR: u32 = 1;
/// A line at level WARN.
pub const LOG_WARN: u32 = 2;
/// A line at level INFO.
pub const LOG_INFO: u32 = 3;
/// A line at level DEBUG.
pub const LOG_DEBUG: u32 = 4;
/// A line at level TRACE.
pub const LOG_TRACE: u32 = 5;
/// Logged as INFO and kept for `sparectl events`.
pub const LOG_EVENT: u32 = 6;
/// An elector's event, logged as WARN, that another router is active too, or no longer is.
pub const LOG_CONFLICT: u32 = 7;
/// A descriptor is readable; the value of `POLLIN`.
pub const FD_READ: u32 = 0x1;
/// A descriptor is writable; the value of `POLLOUT`.
pub const FD_WRITE: u32 = 0x4;
/// A descriptor has an error; the value of `POLLERR`.
pub const FD_ERROR: u32 = 0x8;
/// The other end of a descriptor is closed; the value of `POLLHUP`.
pub const FD_HANGUP: u32 = 0x10;
/// A time in ns.
pub const ROW_NS: u32 = 0x2;
/// A number of bytes.
pub const ROW_BYTES: u32 = 0x3;
