//! Behaviours of a hostile plugin, by the name of its file, each with what the journal says of it in the line that
//! names it: one of the texts between bars.

/// A behaviour of `abi/examples/hostile`, and the words of the line that names it.
pub type Row = (&'static str, &'static str);

/// Found when a reload checks them: it is refused, and names each. Nothing changes.
pub const REFUSED: &[Row] = &[
    ("name-of-another", "is the plugin \"vrrp\""),
    ("name-a-path", "calls itself"),
    ("name-empty", "calls itself"),
    ("name-long", "longer than 256 bytes"),
    ("name-no-utf8", "not UTF-8"),
    ("summary-lines", "not printable"),
    ("summary-twice", "stands there twice"),
    ("note-none", "has no descriptor"),
    ("note-long", "longer than 4096 bytes"),
    ("contract-newer", "update spared"),
    ("key-unknown", "update spared"),
    ("flags-unknown", "update spared"),
    ("part-unknown", "update spared"),
    ("capability-unknown", "no such capability"),
    ("capability-sys-admin", "do what root does"),
    ("calls-unknown", "update spared"),
    ("wire-backwards", "the lower version comes first"),
    ("paths-relative", "absolute path"),
    ("paths-up", "absolute path"),
    ("paths-endless", "more than 64"),
    ("root-with-peer", "root must not read"),
    ("partners-many", "9 partners"),
    ("partners-self", "name of another plugin"),
    ("partners-path", "name of another plugin"),
    ("segv-in-load", "crashed while it was checked"),
    ("exit-0-in-load", "crashed while it was checked"),
    ("hang-in-load", "its check took longer than"),
    ("panic-in-create", "crashed while it was checked"),
    ("spin-in-create", "its check took longer than"),
    ("segv-in-check", "crashed while it was checked"),
    ("hang-in-check", "its check took longer than"),
    ("flood-endless-in-check", "flooded the daemon with messages"),
    ("flood-errors-endless-in-check", "flooded its error output"),
    ("status-77-in-check", "not a valid status"),
    ("status-eio-in-check", "Input/output error"),
    ("status-eio-in-create", "Input/output error"),
];

const AGAIN: &str = "did not answer";

/// Ends of the process.
pub const ENDS: &[Row] = &[
    ("segv", "was killed by SIGSEGV"),
    ("bus", "was killed by SIGBUS"),
    ("ill", "was killed by SIGILL"),
    ("trap", "was killed by SIGTRAP"),
    ("fpe", "was killed by SIGFPE"),
    ("quit", "was killed by SIGQUIT"),
    ("kill", "was killed by SIGKILL"),
    ("kill-group", "was killed by SIGKILL"),
    ("alarm", "was killed by SIGALRM"),
    ("abort", "was killed by SIGABRT"),
    ("panic", "was killed by SIGABRT"),
    ("overflow", "was killed by SIG"),
    ("exit-0", "exited with status 0"),
    ("exit-3", "exited with status 3"),
    ("exit-from-thread", "exited with status 0"),
    ("exec", "closed its connection"),
    ("segv-in-configure", "was killed by SIGSEGV"),
    ("panic-in-start", "was killed by SIGABRT"),
    ("exit-0-in-role", "exited with status 0"),
    ("segv-in-role", "was killed by SIGSEGV"),
    ("abort-in-fd", "was killed by SIGABRT"),
    ("segv-in-woken", "was killed by SIGSEGV"),
    ("panic-in-query", "was killed by SIGABRT"),
    ("overflow-in-changed", "was killed by SIG"),
];

/// Standstills, each killed after three seconds.
pub const STANDSTILLS: &[Row] = &[
    ("hang", AGAIN),
    ("spin", AGAIN),
    ("deaf", AGAIN),
    ("stopped", AGAIN),
    ("exit-first-thread", AGAIN),
    ("hang-in-configure", AGAIN),
    ("hang-in-start", AGAIN),
    ("hang-in-role", AGAIN),
    ("hang-in-fd", AGAIN),
    ("spin-in-woken", AGAIN),
    ("hang-in-query", AGAIN),
    ("hang-in-changed", AGAIN),
    ("record-pong", AGAIN),
    ("pong-for-ever-in-configure", AGAIN),
    ("pong-for-ever-in-start", AGAIN),
    ("socket-shut", "closed its connection"),
    ("socket-closed", "closed its connection"),
    (
        "socket-replaced",
        "closed its connection|exited with status",
    ),
    ("socket-successor", "exited with status 0"),
];

/// Wrong values.
pub const STATUSES: &[Row] = &[
    ("status-77-in-configure", "not a valid status"),
    ("status-pending-in-configure", "not a valid status"),
    ("status-restart-in-start", "not a valid status"),
    ("status-m5000-in-start", "not a valid status"),
    ("status-least-in-role", "not a valid status"),
    ("status-restart-in-role", "not a valid status"),
    ("status-eio-in-role", "Input/output error"),
    ("status-pending-in-role", "runs"),
    ("status-least-in-query", "not a valid status"),
    ("status-pending-in-query", "runs"),
    ("status-broken", "exited with status 70"),
    ("status-broken-in-role", "exited with status 70"),
    ("done-unasked", "passed over"),
    ("done-twice-in-role", "passed over"),
    ("done-77-in-role", "not a valid status"),
    ("done-77-in-query", "not a valid status"),
];

/// Texts, numbers and calls that no loop of a plugin would send.
pub const LIES: &[Row] = &[
    ("log-no-utf8", "sent an invalid message"),
    ("log-forged", "mine ERROR vrrp: forged"),
    ("log-level", "of a level that is none"),
    ("log-long", "long long"),
    ("put-too-much-in-query", "passed over"),
    ("put-forged-in-query", "taken"),
    ("sync-long", "passed over"),
    ("follow-path", "refused"),
    ("claim-uninvited", "refused"),
    ("add-uninvited", "add: refused: Operation not permitted"),
    ("watch-often", "watch: "),
    (
        "documents-uninvited",
        "documents: refused: Operation not permitted",
    ),
    ("group-empty", "refused"),
    ("group-many", "refused"),
    ("group-unknown", "refused"),
    ("group-steal", "refused"),
    ("group-same-address", "refused"),
    ("paths-of-the-host", "runs"),
];

/// Records that its own half would never send.
pub const RECORDS: &[Row] = &[
    ("record-random", "sent an invalid message"),
    ("record-empty", "closed its connection"),
    ("record-cut", "sent an invalid message"),
    ("record-too-long", "sent an invalid message"),
    ("record-descriptors", "sent an invalid message"),
    ("record-loaded", "calls itself"),
    ("record-returned", "passed over"),
    ("record-status", "passed over"),
    ("record-call", "refused"),
    ("record-check", "passed over"),
    ("record-scopes", "passed over"),
    ("record-log", "forged"),
];

/// As much as it can.
pub const FLOODS: &[Row] = &[
    ("flood-log", "suppressed|messages are read more slowly"),
    ("flood-events", "suppressed|messages are read more slowly"),
    ("flood-errors", "suppressed|flooded its error output"),
    (
        "flood-errors-endless",
        "suppressed|flooded its error output",
    ),
    ("flood-calls", "runs"),
    ("flood-follow", "runs"),
    ("flood-checks", "too many checks"),
    ("flood-check", "messages are read more slowly"),
    ("flood-sync", "messages are read more slowly"),
    ("flood-sign", "runs"),
    ("flood-udp", "runs"),
    ("flood-records", "suppressed|messages are read more slowly"),
    ("flood-large", "messages are read more slowly"),
    ("flood-small", "messages are read more slowly"),
];

/// Floods of plugins that answer pings meanwhile, and live.
pub const FLOODS_OF_RECORDS: &[Row] = &[
    ("flood-sync", "messages are read more slowly"),
    ("flood-check", "messages are read more slowly"),
];

/// Pairs of copies that exchange messages on their node.
pub const PARTNERS: &[Row] = &[
    ("partner-flood", "a flood of messages: refused"),
    ("partner-flood-back", "a flood of messages: refused"),
    ("partner-random", "runs"),
    ("partner-random-back", "runs"),
    ("partner-record", "runs"),
    ("partner-record-back", "runs"),
    ("partner-empty", "runs"),
    ("partner-empty-back", "runs"),
    ("partner-descriptors", "runs"),
    ("partner-descriptors-back", "a message, and nothing with it"),
];

/// Whom and what it can name, and all that there is.
pub const REACHES: &[Row] = &[
    ("reach-signal", "denied: kill"),
    ("reach-stop", "denied: stop"),
    ("reach-trace", "denied: ptrace"),
    ("reach-memory", "denied: memory"),
    ("reach-limits", "denied: prlimit"),
    ("reach-affinity", "denied: affinity"),
    ("reach-priority", "denied: priority"),
    ("reach-files", "denied"),
    ("reach-control", "denied"),
    ("reach-network", "denied"),
    ("reach-namespaces", "denied"),
    ("reach-machine", "denied"),
    ("reach-kernel", "denied"),
    (
        "calls-socket",
        "the system call socket is not on its list (the group sockets has it)",
    ),
    (
        "calls-fork",
        "the system call clone is not on its list (the group programs has it)",
    ),
    ("exhaust-memory", "reached its limit of"),
    ("exhaust-memory-at-once", "reached its limit of"),
    ("exhaust-descriptors", "denied: more than "),
    ("exhaust-processes", "denied: more than"),
    ("exhaust-threads", "denied: more than"),
];

/// On both nodes, each the other's peer.
pub const PEERS: &[Row] = &[
    ("segv-in-up", "was killed by SIGSEGV"),
    ("hang-in-up", AGAIN),
    ("flood-send", "runs"),
];

/// In a switchover, which they may delay and not prevent.
pub const SWITCHED: &[Row] = &[
    ("hang-in-drain", AGAIN),
    ("segv-in-drain", "was killed by SIGSEGV"),
    ("status-77-in-drain", "not a valid status"),
    ("hang-in-settle", AGAIN),
    ("segv-in-settle", "was killed by SIGSEGV"),
    ("status-pending-in-settle", "runs"),
    ("status-eio-in-settle", "is applied: Input/output error"),
];

/// When it is taken away; of what it does once it has stopped nothing is said.
pub const PARTINGS: &[Row] = &[
    ("hang-in-stop", "did not stop cleanly"),
    ("segv-in-stop", "did not stop cleanly"),
    ("panic-in-stop", "did not stop cleanly"),
    ("status-77-in-stop", "not a valid status"),
    ("hang-in-destroy", ""),
    ("segv-in-destroy", ""),
];
