/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * spared/plugin.h - the contract between spared and its plugins.
 *
 * A plugin is one shared object that exports one constant, spared_plugin_v0.
 * The promise: a binary built against this header works with every later host
 * of the same major version, and a source that compiles with this header
 * compiles with every later one. (DRAFT: the promise begins with spared_plugin_v1.)
 *
 *     #include <spared/plugin.h>
 *
 *     static spared_status create(const struct spared_host *host, void **self)
 *     { *self = (void *)host; return 0; }
 *     static void destroy(void *self) { (void)self; }
 *
 *     SPARED_PLUGIN(
 *         .name = "acme-smallest", .version = "1", .vendor = "acme",
 *         .summary = "does nothing", .create = create, .destroy = destroy);
 *
 *     cc -shared -fPIC -fvisibility=hidden -o acme-smallest.so smallest.c
 *
 * Life of an instance (every arrow is a call on the one plugin thread):
 *
 *     create -> configure -> start -> role -> ... -> stop -> destroy
 *                  ^                    |
 *                  +---- reload --------+   fd, timer, woken, query, drain,
 *                                           settle, role and the extensions'
 *                                           callbacks come between start and stop
 *
 * Rules that hold everywhere:
 *  - All callbacks run on one thread and never re-enter. A function marked [loop] is
 *    called on that thread alone: by the host, or by the plugin from within a callback
 *    of its; elsewhere it does nothing but log that, and fails with -EPERM. Those marked
 *    [any] may be called from any thread at any time between create and destroy. Threads
 *    of the plugin must be joined in stop.
 *  - The allocator frees. Nothing changes owner. A pointer received in a call is
 *    borrowed until that call returns; what a plugin passes to the host is copied
 *    before the host function returns. A file descriptor stays its owner's: neither
 *    side closes the other's.
 *  - Only create and destroy are required; NULL means "not interested".
 *  - Every struct starts with its size, as its author compiled it. Minor versions
 *    only append. Read a field of a struct that the host passes only where
 *    SPARED_HAS says that it is there. An array of sized structs is walked by each
 *    element's size.
 *  - Unknown roles, kinds and states must be tolerated. Of unknown flags the low 16 bits
 *    may be ignored, the high 16 (SPARED_FLAGS_REQUIRED) must be understood: a function
 *    that gets one is refused with -EINVAL, and the flag is logged; a host sets one only
 *    for a plugin whose minor has it.
 *  - Names: of plugins those without a '-', of extensions those that begin with
 *    "spared.", belong to spared. A vendor's have its name in them: the plugin
 *    "acme-radius", the extension "com.acme.radius/1". Words of sparectl ("status",
 *    "check", "switch", "all", ...) name no plugin.
 *  - A callback that runs longer than 50 ms delays the plugin's own timers; the
 *    host pings every second and kills a worker that is silent for 3 s.
 *  - -ENOTRECOVERABLE from any callback says that the instance is broken: it is never
 *    called again, not even destroyed, and its worker is restarted.
 *  - Process-wide signal dispositions and a fork that goes on in the child are
 *    forbidden; posix_spawn is fine. Children get no real time, and no capabilities but
 *    those of a plugin with SPARED_PLUGIN_ROOT.
 *  - What a NULL callback means: create and destroy are required; without configure
 *    every configuration is accepted; without drain, settle or role the host does
 *    not wait for this plugin; the others are just not called.
 */
#ifndef SPARED_PLUGIN_H
#define SPARED_PLUGIN_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SPARED_MAJOR 0u
#define SPARED_MINOR 0u

#if defined(__GNUC__)
#define SPARED_EXPORT __attribute__((visibility("default")))
#else
#define SPARED_EXPORT
#endif

/* Whether a sized struct of the host reaches as far as a field. Needed for fields that a
 * later minor version appended, and only for those:
 *     if (SPARED_HAS(host, later) && host->later) ... */
#define SPARED_HAS(p, field) \
	((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))

/* 0: done; negative: -errno, down to -4095; positive: one of these, from the callbacks that
 * may return it.
 *
 *     start, stop, drain,     SPARED_PENDING: done() will follow
 *     settle, role
 *     query                   SPARED_PENDING; SPARED_ATTENTION: answered, and what the rows
 *                             say wants attention: sparectl exits with 1
 *     configure               SPARED_RESTART: valid, but I must be restarted for it
 *     done() of a query       SPARED_ATTENTION
 *     all others              none
 *
 * Any other number is logged with the plugin's and the callback's name, and taken for -EPROTO.
 * Host functions return 0 or -errno, besides what is said of each: -EINVAL for an argument that
 * cannot be, -EPERM on another thread than [loop]'s, -EPIPE once the host is gone. */
typedef int32_t spared_status;
#define SPARED_PENDING 1
#define SPARED_RESTART 2
#define SPARED_ATTENTION 3

/* Text is UTF-8, not NUL-terminated. An empty text may have ptr NULL. */
struct spared_str {
	const char *ptr;
	size_t len;
};

struct spared_bytes {
	const uint8_t *ptr;
	size_t len;
};

/* Levels of log(). EVENT is for what an administrator wants to find in
 * `sparectl events` a week later; it is logged as INFO as well. */
#define SPARED_LOG_ERROR 1u
#define SPARED_LOG_WARN 2u
#define SPARED_LOG_INFO 3u
#define SPARED_LOG_DEBUG 4u
#define SPARED_LOG_TRACE 5u
#define SPARED_LOG_EVENT 6u

/* Bits of watch_fd() and fd(), with poll(2)'s meaning and values. */
#define SPARED_FD_READ 0x1u
#define SPARED_FD_WRITE 0x4u
#define SPARED_FD_ERROR 0x8u
#define SPARED_FD_HANGUP 0x10u

/* Types of values of the configuration. */
#define SPARED_CONFIG_TEXT 1u
#define SPARED_CONFIG_INTEGER 2u /* fits an int64_t */
#define SPARED_CONFIG_FLOAT 3u
#define SPARED_CONFIG_BOOLEAN 4u /* "true" or "false" */
#define SPARED_CONFIG_TIME 5u    /* a date, a time, or both */
#define SPARED_CONFIG_ARRAY 6u   /* config_len() */
#define SPARED_CONFIG_TABLE 7u   /* config_keys() */

/* Those bits of every uint32_t flags that must be understood. */
#define SPARED_FLAGS_REQUIRED 0xffff0000u

/* Flags of configure(). */
#define SPARED_CONFIGURE_CHECK 0x1u /* validate, without any side effect */

/* Flags of struct spared_plugin. A host refuses a plugin with one of the high 16 bits that it does not
 * know. */
#define SPARED_PLUGIN_REALTIME 0x1u /* wants real-time priority and locked memory */
#define SPARED_PLUGIN_FILES 0x2u    /* reads and runs the files that its configuration names */
#define SPARED_PLUGIN_WRITE 0x4u    /* with FILES: writes them, too */
/* Runs as root, with the host's capabilities and unconfined, as its children are the machine's
 * own services: where the administrator's `allow` does not refuse it. It has no peer: root
 * never parses what the network sent. */
#define SPARED_PLUGIN_ROOT 0x8u

/* Kinds of numbers in the answer to a query: one unit, with or without COUNTER. An unknown unit
 * is shown as a plain number. */
#define SPARED_ROW_NUMBER 0x0u    /* a plain number; its unit, if it has one, is in the key */
#define SPARED_ROW_BOOL 0x1u      /* 0 or 1 */
#define SPARED_ROW_NS 0x2u        /* a time in ns */
#define SPARED_ROW_BYTES 0x3u
#define SPARED_ROW_COUNTER 0x100u /* only rises while the worker lives; else it is a gauge */

/* What a word of query() does. */
#define SPARED_VERB_ASKS 1u    /* changes nothing: who may only read may say it, also from the peer */
#define SPARED_VERB_CHANGES 2u /* for root, on this node; as is what a host does not know */

/* One word of query(). Permissions, help and completion follow from it: a word that is not listed
 * never arrives. Three words are the host's, which says them where they are listed, and all three
 * ask: "status" for `sparectl status`; "check" for `spared check`, which wants to know what is
 * wrong with programs and files that you work with: rows of that, with SPARED_ATTENTION if there
 * is any, and rows under "all." about the question itself; "totals", once a second, of who decides
 * roles: a few cheap sums for the record of the last minutes. "help" is the host's own. */
struct spared_verb {
	uint32_t size;
	uint32_t effect;     /* SPARED_VERB_* */
	const char *word;    /* [a-z][a-z0-9-]*, at most 32; "" for `sparectl NAME` alone */
	const char *usage;   /* what follows it, as "NAME ADDRESS"; NULL or "": nothing */
	const char *summary; /* one line, lower case, no full stop */
};

/* One of an array of them: SPARED_VERB(SPARED_VERB_ASKS, "diff", "", "compares both nodes"). */
#define SPARED_VERB(effect, word, usage, summary) \
	{ sizeof(struct spared_verb), effect, word, usage, summary }

/* Roles of a group. */
#define SPARED_ROLE_BACKUP 1u
#define SPARED_ROLE_ACTIVE 2u
#define SPARED_ROLE_FAULT 3u /* backup, and unable to become active */

/* Flags of struct spared_role. */
#define SPARED_ROLE_MAINTENANCE 0x1u /* an administrator works on this node */
#define SPARED_ROLE_PLANNED 0x2u     /* it moved by a switchover, not by a fault */

struct spared_cause; /* of spared.group/1 */

/* A group's role as a follower learns it. The newest wins: a role that arrives
 * while an older one of its group is pending replaces it. Roles of several groups
 * may be pending at once. The same role comes again when its flags change. */
struct spared_role {
	uint32_t size;
	uint32_t role;           /* SPARED_ROLE_* */
	struct spared_str group; /* the configured name */
	struct spared_str why;   /* the sentence of `sparectl why` */
	uint64_t deadline_ns;    /* monotonic; afterwards the host goes on without you */
	uint32_t flags;          /* SPARED_ROLE_MAINTENANCE, SPARED_ROLE_PLANNED */
	uint32_t before;         /* the role that you were told last of this group; 0: none yet */
	uint64_t epoch;          /* of two roles of one group, the newer has the greater */
	const struct spared_cause *cause; /* what why says, as data; until the callback returns */
};

/* What the host offers. ctx is the first argument of every function. */
struct spared_host {
	uint32_t size, minor;
	void *ctx;
	const char *brand; /* "spared", or the name of the fork of it that this host is */

	/* [any] One line of log, without newline. Limited in rate by the host. */
	void (*log)(void *ctx, uint32_t level, struct spared_str text);
	/* [any] Makes woken() follow on the plugin's thread, once for any number of calls. */
	void (*wake)(void *ctx);
	/* [loop] Says what is wrong with one key of the configuration, before configure returns
	 * -EINVAL; call it once for every fault. key is a path like "group.0.interface.1.vrid",
	 * why is "found 300, allowed 1-255"; the host adds file and line.
	 * Outside configure: says why a callback fails; key may be NULL. */
	spared_status (*fail)(void *ctx, const char *key, struct spared_str why);
	/* [loop] A scalar of the configuration as text: "lan1", "-3", "0.5", "true". Parts of a key have
	 * dots between them, positions of arrays are numbers: "group.0.name". A dot or a backslash in
	 * a part has a backslash before it: "route.10\.0\.0\.0/8".
	 * -ENOENT where it is absent, -EISDIR where it is a table or an array. Of a table by node
	 * name, this node's value. Five keys are
	 * the host's: "@node" is this node's name, "@nodes.0" and on are the names of [nodes],
	 * "@links.0" and on the interfaces of the links to the peer (config_len "@nodes",
	 * "@links"), "@peer" is the peer's name where keys are configured to know it by,
	 * "@state" is the directory that is the plugin's own, which outlives its worker, the host and
	 * the machine's boots, and nobody else writes; -ENOENT where there is none.
	 * Valid until the callback returns. */
	spared_status (*config_get)(void *ctx, const char *key, struct spared_str *out);
	/* [loop] What a key of the configuration is: SPARED_CONFIG_*, of a table by node name this node's
	 * value; -ENOENT. */
	spared_status (*config_type)(void *ctx, const char *key, uint32_t *type);
	/* [loop] The name of the index-th key in a table, in the order of their names, written as a part
	 * of a longer key: to refuse those that you do not know. key "" is the top of the file; the
	 * host's own keys there are left out. -ENOENT beyond the last one, and where there is no such
	 * table; -ENOTDIR. Valid until the callback returns. */
	spared_status (*config_keys)(void *ctx, const char *key, uint32_t index,
	                             struct spared_str *name);
	/* [loop] The length of an array of the configuration; -ENOENT, -ENOTDIR. */
	spared_status (*config_len)(void *ctx, const char *key, uint32_t *n);
	/* [loop] Calls fd() whenever the descriptor is ready (level-triggered) for one of events;
	 * 0 stops that. The descriptor stays the plugin's. -EBADF, -ENOSPC. */
	spared_status (*watch_fd)(void *ctx, int fd, uint32_t events);
	/* [loop] One-shot timer id at a monotonic time in ns; 0 cancels it. A second call
	 * replaces the first. -ENOSPC with more than 4096 timers. */
	spared_status (*timer)(void *ctx, uint32_t id, uint64_t at_ns);
	/* [loop] CLOCK_MONOTONIC in ns. */
	uint64_t (*now)(void *ctx);
	/* [loop] Ends what returns SPARED_PENDING under this token, also before it has returned.
	 * A stale token is ignored. */
	spared_status (*done)(void *ctx, uint64_t token, spared_status status);
	/* [loop] Rows of the answer to query(), in order; keys like "virtual_router.lan2.received".
	 * A text is shown in one line: line feeds and other control characters in it become spaces.
	 * -EMSGSIZE when the answer is full (64 KiB): who asked is told that rows are missing.
	 * -ENOENT: the answer is given up, or was ended. */
	spared_status (*put_text)(void *ctx, uint64_t token, const char *key, struct spared_str value);
	/* [loop] The same for a number; kind is SPARED_ROW_*. */
	spared_status (*put_u64)(void *ctx, uint64_t token, const char *key, uint32_t kind,
	                         uint64_t value);
	/* [loop] The same for one that may be negative. */
	spared_status (*put_i64)(void *ctx, uint64_t token, const char *key, uint32_t kind,
	                         int64_t value);
	/* [loop] The host's half of an extension, or NULL where this host has none.
	 * The pointer is valid until destroy; its functions take this same ctx. */
	const void *(*extension)(void *ctx, const char *id);
};

/* What a plugin exports, as the constant spared_plugin_v0. */
struct spared_plugin {
	uint32_t size, minor; /* sizeof(struct spared_plugin), SPARED_MINOR */
	uint32_t needs_minor; /* refuses older hosts; 0 unless you cannot do without */
	uint32_t flags;       /* SPARED_PLUGIN_* */

	uint32_t wire_min, wire_max; /* versions of its messages to its peer; 0 where it has none */
	/* 1 << CAP_..., as in <linux/capability.h>; none that makes root. CAP_DAC_OVERRIDE opens
	 * files of others, and only those that FILES, WRITE or paths let it open anyway. */
	uint64_t capabilities;

	const char *name;    /* [a-z][a-z0-9-]*, at most 32, with a vendor's part; the file is NAME.so */
	const char *version; /* of the plugin */
	const char *vendor;
	const char *summary; /* one line, lower case, no full stop */
	const char *brand;   /* the fork of spared without whose extensions it cannot do; NULL: none */

	/* [loop] Allocates an instance. No I/O, no threads. host outlives the instance. *self is what
	 * every other callback gets; a plugin without state may leave it. */
	spared_status (*create)(const struct spared_host *host, void **self);
	/* [loop] Frees it. Nothing is called afterwards. */
	void (*destroy)(void *self);
	/* [loop] The plugin's own file, verbatim; empty where there is none. Before start, and
	 * again at each reload while running: apply the difference, or return
	 * SPARED_RESTART. On failure the old configuration stays in force. */
	spared_status (*configure)(void *self, struct spared_str toml, uint32_t flags);
	/* [loop] After every plugin was configured. Followed by one role() for each group, once it is
	 * done. It may be pending for 90 s: a database, a dial-up. Until then no role, query or message
	 * comes, and nobody waits for this plugin; fd, timer and woken do come. A plugin that takes
	 * longer is started again, as one whose start failed. */
	spared_status (*start)(void *self, uint64_t token);
	/* [loop] Nothing but destroy follows; while it is pending fd, timer and woken come. It returns
	 * within 1 s and may be pending for 3 s in all, then the process is killed. Also called while
	 * start is pending, and when the host died: then host functions fail with -EPIPE, and 2 s
	 * remain. */
	spared_status (*stop)(void *self, uint64_t token);
	/* [loop] Before a planned switchover, on the active node: send the peer all that you have. */
	spared_status (*drain)(void *self, uint64_t token, uint64_t deadline_ns);
	/* [loop] Before the addresses of a failover, and as barrier of a switchover: apply all that
	 * you received. The deadline (monotonic) is never a veto. */
	spared_status (*settle)(void *self, uint64_t token, uint64_t deadline_ns);
	/* [loop] A group's role; also SPARED_PENDING. */
	spared_status (*role)(void *self, uint64_t token, const struct spared_role *role);
	/* [loop] A watched descriptor is ready. */
	spared_status (*fd)(void *self, int fd, uint32_t events);
	/* [loop] A timer ran out. */
	spared_status (*timer)(void *self, uint32_t id);
	/* [loop] After wake(). */
	spared_status (*woken)(void *self);
	/* [loop] `sparectl NAME ARGV...`: argv begins with the word of one of verbs, or is empty.
	 * Answer with put_text, put_u64 and put_i64; -EINVAL with fail(NULL, why) for arguments that
	 * don't fit. After SPARED_PENDING rows may be put until done(); the host waits 12 s, for
	 * "status" 1 s. */
	spared_status (*query)(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc);
	/* [loop] The plugin's half of an extension (struct spared_..._plugin), or NULL. May be
	 * called before create. */
	const void *(*extension)(const char *id);

	/* Absolute paths of files and folders beyond its configuration's that it may read and run,
	 * with all beneath; a leading '+' lets it write there, too: create, rename, remove, cut. At
	 * most 64, after them NULL; NULL for none. Those that are not there when the plugin is
	 * started are passed over, as is what belongs to the host: /etc/spared, its other folders
	 * and whatever is above them. */
	const char *const *paths;

	/* verb_count words that query() knows, walked by each one's size; at most 64. */
	const struct spared_verb *verbs;
	uint32_t verb_count, reserved;
};

/* Declared, so that in C++ the constant has C's linkage. */
extern SPARED_EXPORT const struct spared_plugin spared_plugin_v0;

/* Defines it: SPARED_PLUGIN(.name = "acme-lamp", .create = create, ...); fields in the order of the
 * struct, as C++ wants it (from C++20). size and minor are set here; what is left out is NULL. */
#if defined(__cplusplus) && defined(__GNUC__)
#define SPARED_PLUGIN(...) \
	_Pragma("GCC diagnostic push") \
	_Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"") \
	SPARED_PLUGIN_OF(__VA_ARGS__); \
	_Pragma("GCC diagnostic pop") \
	static_assert(SPARED_MAJOR == 0u, "takes the semicolon")
#else
#define SPARED_PLUGIN(...) SPARED_PLUGIN_OF(__VA_ARGS__)
#endif
#define SPARED_PLUGIN_OF(...) \
	const struct spared_plugin spared_plugin_v0 = { \
		.size = sizeof(struct spared_plugin), .minor = SPARED_MINOR, __VA_ARGS__ }

/* ---- spared.peer/1: messages to the same plugin on the other node ------------ */

#define SPARED_PEER "spared.peer/1"
#define SPARED_PEER_MESSAGE_MAX 65536u

struct spared_peer {
	uint32_t size, reserved;
	/* [loop] Queues one message, ordered and reliable while the peer is up. -EAGAIN: full,
	 * writable() follows; -ENOTCONN; -EMSGSIZE. Before -EAGAIN at least 16 messages of the
	 * greatest size wait, or 2000 of up to 100 bytes; on their way to the peer are up to 256 KiB
	 * more. down() loses all of that. */
	spared_status (*send)(void *ctx, struct spared_bytes message);
	/* [loop] Whether this node holds all that it needs to take over; why where not. Holds until
	 * up() or down(), and is "no" until it is said: a plugin with a channel says it. */
	spared_status (*in_sync)(void *ctx, uint32_t yes, struct spared_str why);
};

struct spared_peer_plugin {
	uint32_t size, reserved;
	/* [loop] The peer is there; wire is the highest version that both speak. */
	spared_status (*up)(void *self, uint32_t wire);
	/* [loop] It is gone; what was queued is lost. */
	spared_status (*down)(void *self);
	/* [loop] Its message: untrusted bytes, in order, each once. */
	spared_status (*message)(void *self, struct spared_bytes message);
	/* [loop] After -EAGAIN, once: there is room again. */
	spared_status (*writable)(void *self);
};

/* ---- spared.identity/1: statements that prove which node made them ------------- */

#define SPARED_IDENTITY "spared.identity/1"
#define SPARED_IDENTITY_STATEMENT_MAX 512u
#define SPARED_IDENTITY_SIGNATURE_SIZE 64u

struct spared_identity {
	uint32_t size, reserved;
	/* [loop] Asks for this node's signature (Ed25519, 64 bytes) of a statement, with its key of
	 * [nodes] or of the passphrase; signature() follows with the same ticket. What is signed
	 * begins with the plugin's name: no other plugin's signature is valid for it, and no
	 * session is. Returns at once. -ENOTCONN: no keys are configured, or the process that
	 * holds them is being started; -EAGAIN: too much waits; -EMSGSIZE: a statement of more
	 * than 512 bytes. At most 20 requests of a plugin in a second, sign and verify together,
	 * are answered; an answer may also be lost with the process: ask again after a second. */
	spared_status (*sign)(void *ctx, uint64_t ticket, struct spared_bytes statement);
	/* [loop] Asks whether the peer made a signature of a statement, with any key that [nodes] has
	 * for it; verified() follows. As sign; -EMSGSIZE also for a signature that has not 64
	 * bytes. */
	spared_status (*verify)(void *ctx, uint64_t ticket, struct spared_bytes statement,
	                        struct spared_bytes signature);
};

struct spared_identity_plugin {
	uint32_t size, reserved;
	/* [loop] What sign() asked for. */
	spared_status (*signature)(void *self, uint64_t ticket, struct spared_bytes signature);
	/* [loop] What verify() asked for. yes: 1 where the peer made it, 0 where not. */
	spared_status (*verified)(void *self, uint64_t ticket, uint32_t yes);
};

/* ---- spared.check/1: what is as it should be, and what makes this node less fit - */

#define SPARED_CHECK "spared.check/1"
/* Instead of a state: not known yet. It counts as good until it is. */
#define SPARED_CHECK_UNKNOWN 0xffffffffu

struct spared_check {
	uint32_t size, reserved;
	/* [loop] name is unique in the plugin; weight 0-9999; state 0 (failed) to 100 (good), or
	 * SPARED_CHECK_UNKNOWN. The weight is for the election alone: what you were configured to do
	 * and do not do is a failed check, in every role, with the weight 0 where this node is no less
	 * fit for it. sparectl status of both nodes lists every check that is not good. */
	spared_status (*report)(void *ctx, const char *name, uint32_t weight, uint32_t state,
	                        struct spared_str why);
	/* [loop] Withdraws a check. */
	spared_status (*forget)(void *ctx, const char *name);
};

/* ---- spared.scope/1: how keys of the configuration compare between the nodes ---- */

#define SPARED_SCOPE "spared.scope/1"

#define SPARED_SCOPE_PAIR 1u  /* must be equal on both nodes; so is whatever is not declared */
#define SPARED_SCOPE_NODE 2u  /* may differ */
#define SPARED_SCOPE_LOCAL 3u /* is never compared */
/* Must be equal on both nodes: compared by 16 bits of a digest, and shown nowhere. Whatever has
 * "secret", "password", "passphrase", "private_key" or "psk" in its name is one undeclared. */
#define SPARED_SCOPE_SECRET 4u

struct spared_scope {
	uint32_t size, reserved;
	/* [loop] In configure: the scope of a key and all below it, positions of arrays left out:
	 * "server.interface". -EINVAL. */
	spared_status (*declare)(void *ctx, const char *key, uint32_t scope);
};

/* ---- spared.interface/1: interfaces as they come and go, and sockets on them -- */

#define SPARED_INTERFACE "spared.interface/1"

/* Socket sets that follow() asks for. */
#define SPARED_SOCKETS_NONE 0x0u
#define SPARED_SOCKETS_VRRP 0x1u
#define SPARED_SOCKETS_HEARTBEAT 0x2u
#define SPARED_SOCKETS_PING 0x4u

/* Kinds of descriptors in an event. All are non-blocking.
 * VRRP_LINK:  AF_PACKET/SOCK_RAW bound to the interface; receives whole frames that carry
 *             IP protocol 112, before any firewall; what is sent is a whole frame.
 *             The multicast groups are joined.
 * VRRP_IPV4:  AF_INET raw, IP_HDRINCL, bound to the interface: sending unicast only.
 * VRRP_IPV6:  the same for AF_INET6 (IPV6_HDRINCL).
 * STATIONS:   AF_PACKET/SOCK_RAW; receives ARP and neighbour discovery frames of others,
 *             to tell whether the wire speaks; sends probes.
 * HEARTBEAT_IN:    AF_PACKET/SOCK_DGRAM on an interface of a link; receives whole IP packets of
 *             UDP from the peer's address and port to this node's, before any firewall.
 * HEARTBEAT_OUT:   AF_INET or AF_INET6 UDP, bound to the interface, connected to the peer: send only.
 * VRRP_HEARTBEAT:  AF_PACKET/SOCK_RAW, of the set VRRP; receives whole frames that carry UDP from
 *             and to port 3780, before any firewall. They are sent as adverts are: through
 *             VRRP_LINK, VRRP_IPV4 or VRRP_IPV6.
 * PING_IPV4:  AF_INET raw ICMP that receives echo replies and unreachables (with the IP
 *             header); PING_IPV6 the same for ICMPv6 (without). Bound to the interface, or to
 *             none where the name "@any" was followed. */
#define SPARED_SOCKET_VRRP_LINK 1u
#define SPARED_SOCKET_VRRP_IPV4 2u
#define SPARED_SOCKET_VRRP_IPV6 3u
#define SPARED_SOCKET_STATIONS 4u
#define SPARED_SOCKET_HEARTBEAT_IN 5u
#define SPARED_SOCKET_HEARTBEAT_OUT 6u
#define SPARED_SOCKET_PING_IPV4 7u
#define SPARED_SOCKET_PING_IPV6 8u
#define SPARED_SOCKET_VRRP_HEARTBEAT 9u

struct spared_socket {
	uint32_t size, kind; /* SPARED_SOCKET_* */
	int32_t fd;
	uint32_t reserved;
};

/* Flags of spared_interface_event. */
#define SPARED_INTERFACE_PRESENT 0x1u
#define SPARED_INTERFACE_UP 0x2u
#define SPARED_INTERFACE_CARRIER 0x4u

/* An address that the node itself has; never a virtual one of spared's. */
struct spared_own_address {
	uint32_t size;
	uint32_t family; /* 4 or 6 */
	uint32_t prefix;
	uint32_t flags;     /* 0 */
	uint8_t octets[16]; /* network order; IPv4 in the first four */
};

/* The whole truth of one interface. Descriptors stay open and the same until an event
 * leaves them out; the plugin must stop watching those that are gone. */
struct spared_interface_event {
	uint32_t size, flags;
	struct spared_str name;
	uint32_t index, mtu;
	uint8_t mac[8]; /* six octets, then zero */
	const struct spared_own_address *addresses;
	uint32_t address_count;
	uint32_t socket_count;
	const struct spared_socket *sockets;
};

struct spared_interface {
	uint32_t size, reserved;
	/* [loop] Makes changed() follow, once with the present state and then at each change,
	 * also for a name that does not exist yet. */
	spared_status (*follow)(void *ctx, const char *name, uint32_t sockets);
	/* [loop] Ends that, and closes the sockets. */
	spared_status (*unfollow)(void *ctx, const char *name);
};

struct spared_interface_plugin {
	uint32_t size, reserved;
	/* [loop] An interface as it is now. */
	spared_status (*changed)(void *self, const struct spared_interface_event *event);
};

/* ---- spared.group/1: for the plugin that decides who is active ----------------- */

#define SPARED_GROUP "spared.group/1"

/* Flags of spared_virtual_router_claim. */
#define SPARED_VIRTUAL_ROUTER_VMAC 0x1u   /* answer with the virtual MAC of RFC 9568 */
#define SPARED_VIRTUAL_ROUTER_ACCEPT 0x2u /* accept packets to the addresses (pings, services) */
#define SPARED_VIRTUAL_ROUTER_ROUTED 0x4u /* adverts come through routers: those of any TTL are heard */

/* One virtual router: the fence lets its adverts through while its lease lives. */
struct spared_virtual_router_claim {
	uint32_t size, flags;
	struct spared_str interface;
	uint32_t family; /* 4 or 6 */
	uint32_t vrid;   /* 1-255 */
};

/* Instead of a position in virtual_routers: the address follows the group without one. */
#define SPARED_NO_VIRTUAL_ROUTER 0xffffffffu

struct spared_address_claim {
	uint32_t size, flags;
	uint32_t virtual_router; /* index into virtual_routers, or SPARED_NO_VIRTUAL_ROUTER */
	uint32_t family, prefix;
	uint32_t reserved;
	struct spared_str interface;
	uint8_t octets[16];
};

#define SPARED_ADDRESS_SOURCE 0x1u /* what the node itself sends there comes from it */

struct spared_route_claim {
	uint32_t size, flags;
	uint32_t family, prefix;      /* of the destination */
	uint32_t metric, table;       /* 0: the kernel's default; 0: main */
	struct spared_str interface;  /* may be empty where there is a gateway */
	uint8_t destination[16];
	uint8_t gateway[16];          /* all zero: none */
	uint8_t source[16];           /* preferred source; all zero: none */
};

/* All that a group claims, replaced whole. It comes alive while the group is active. */
struct spared_claims {
	uint32_t size, flags;
	const struct spared_virtual_router_claim *virtual_routers;
	const struct spared_address_claim *addresses;
	const struct spared_route_claim *routes;
	uint32_t virtual_router_count, address_count, route_count;
	uint32_t refresh_s;   /* announce again that often; 0: not */
	uint64_t lease_ns;    /* how long one advert keeps the fence passing */
};

/* Why a group has its role. The kind and its numbers are data: the host makes the sentences of
 * `sparectl why`, history and journal from them, and puts the checks behind a quality itself.
 * Beside each kind: REASON= of the journal, what it means, and the fields that it has. A kind
 * that this host does not know is shown by its text: where you use a kind of a later minor, say
 * the same in text. */
#define SPARED_CAUSE_OTHER 0u /* other: text says it, a clause like "its lamp is red" */

/* Of the other router */
#define SPARED_CAUSE_NOBODY_HEARD 1u  /* nobody-heard: interface, for_ns */
#define SPARED_CAUSE_PEER_SILENT 2u   /* peer-silent: peer, interface, for_ns */
#define SPARED_CAUSE_PEER_RESIGNED 3u /* peer-resigned: peer */
#define SPARED_CAUSE_PEER_ACTIVE 4u   /* peer-active: peer; own and theirs are priorities */
#define SPARED_CAUSE_PEER_UNABLE 5u   /* peer-aside, it cannot be active: peer */
#define SPARED_CAUSE_PEER_ASIDE 6u    /* peer-aside, it is forced backup or in maintenance: peer */
#define SPARED_CAUSE_PEER_JOINING 7u  /* peer-aside, it is not yet in sync: peer */
#define SPARED_CAUSE_PEER_FORCED 8u   /* forced, the peer to be active: peer */

/* Both compared. Of equal nodes the preferred flags say which one is, else the role which one
 * was active first. */
#define SPARED_CAUSE_QUALITY 9u    /* quality, preferred, active-first: own, theirs, peer; in text
                                    * what is wrong with interfaces here, as "lan1 is down" */
#define SPARED_CAUSE_PRIORITY 10u  /* priority: own, theirs, peer */
#define SPARED_CAUSE_PREFERRED 11u /* preferred, the peer is no fitter: peer */
#define SPARED_CAUSE_FAILBACK 12u  /* peer-active, though this node is preferred: peer, for_ns is
                                    * the delay; READY, or in text what is missing */
#define SPARED_CAUSE_OWNER 13u     /* owner of the addresses */

/* What people and the host want; text is of the directive */
#define SPARED_CAUSE_FORCED 14u       /* forced to be active: text; with peer, own and theirs: by
                                       * which qualities the peer would be without that */
#define SPARED_CAUSE_STANDS_ASIDE 15u /* stands-aside: text */
#define SPARED_CAUSE_BARRED 16u       /* barred: text */

/* Of interfaces */
#define SPARED_CAUSE_UNHEARD_INTERFACE 17u /* unheard-interface: interface, peer */
#define SPARED_CAUSE_INTERFACE_HURT 18u    /* interface-hurt: text, as "lan1 is down" */
#define SPARED_CAUSE_ISOLATED 19u          /* isolated: text, as "lan1 is down, lan2 is down" */
#define SPARED_CAUSE_ADVERTS_UNSENT 20u    /* adverts-unsent: interface */

/* Switchovers */
#define SPARED_CAUSE_SWITCHOVER 21u  /* switchover, by the peer: peer */
#define SPARED_CAUSE_ASKED 22u       /* switchover, by request: text of the directive */
#define SPARED_CAUSE_NOT_IN_SYNC 23u /* not-in-sync, this node */

/* Of this node */
#define SPARED_CAUSE_LISTENING 24u      /* listening: for_ns */
#define SPARED_CAUSE_LATE 25u           /* late, an advert longer than its lease: for_ns */
#define SPARED_CAUSE_FENCE_BLOCKING 26u /* fence-blocking: publish failed */
#define SPARED_CAUSE_CLONED 27u         /* cloned: another machine sends as this one */
#define SPARED_CAUSE_SECOND 28u         /* second: the peer hears another machine with its key */
#define SPARED_CAUSE_WITHDRAWN 29u      /* withdrawn: no longer configured */
#define SPARED_CAUSE_SHUTDOWN 30u       /* shutdown */

/* The host's own, with a text: of use to who reads causes */
#define SPARED_CAUSE_CLAIMED 64u      /* claimed: nothing was published yet */
#define SPARED_CAUSE_ELECTOR_DIED 65u /* elector-died */
#define SPARED_CAUSE_LAPSED 66u       /* lapsed: nobody renewed the fence lease */
#define SPARED_CAUSE_KERNEL 67u       /* kernel: the fence cannot pass */
#define SPARED_CAUSE_STARTED 68u      /* started: the run before did not end by itself */

/* spared_cause.flags */
#define SPARED_CAUSE_BY_SWITCHOVER 0x1u  /* the group was switched over to peer, for this */
#define SPARED_CAUSE_OWN_PREFERRED 0x2u
#define SPARED_CAUSE_PEER_PREFERRED 0x4u
#define SPARED_CAUSE_READY 0x8u          /* this node is ready */

struct spared_cause {
	uint32_t size, kind; /* SPARED_CAUSE_* */
	uint32_t flags;
	uint32_t own, theirs; /* this node's quality or priority, and the peer's */
	uint32_t reserved;
	uint64_t for_ns;
	struct spared_str peer;      /* the other router: its name, or its address */
	struct spared_str interface; /* one, or several with ", " between them */
	struct spared_str text;      /* what no number says; cut after 1024 characters */
};

/* Flags of publish(). */
#define SPARED_PUBLISH_REOPEN 0x1u

struct spared_group {
	uint32_t size, reserved;
	/* [loop] Declares or replaces a group and its claims; a NULL withdraws it. While the group
	 * is active only the difference is applied. -EINVAL with the reason logged. */
	spared_status (*claim)(void *ctx, const char *group, const struct spared_claims *claims);
	/* [loop] ACTIVE returns when the fence is passing: advertise then. BACKUP returns when it is
	 * closed: send priority 0 then. The same role with another cause only replaces that.
	 * ACTIVE once more with SPARED_PUBLISH_REOPEN grants every fence lease anew, those that
	 * lapsed too: read your sockets empty first, nobody else may be active.
	 * -EINVAL, with the reason logged: no such role, no cause, or one without its kind.
	 * -ETIMEDOUT where the host does not answer within 100 ms: the role is then BACKUP. */
	spared_status (*publish)(void *ctx, const char *group, uint32_t role, uint32_t flags,
	                         const struct spared_cause *cause);
	/* [loop] Announces the addresses again: at once, after 1 s and after 5 s. */
	spared_status (*announce)(void *ctx, const char *group);
	/* [loop] On the active node: the peer is fitter, switch the group over to it. Followers drain,
	 * the peer applies and prepares; then SPARED_DIRECTIVE_RELEASE is set here and the group goes.
	 * Where that fails, nothing changes, and the host has logged why: ask again after some
	 * seconds. -EALREADY while one is under way, -EHOSTUNREACH without a link. */
	spared_status (*switch_over)(void *ctx, const char *group, const struct spared_cause *cause);
	/* [loop] Replaces the cause of a role that was published, as long as the group has that role.
	 * Returns at once, without the host's answer: for a cause that follows the facts while
	 * adverts must not wait. */
	spared_status (*explain)(void *ctx, const char *group, uint32_t role,
	                         const struct spared_cause *cause);
};

/* spared_directive.forced */
#define SPARED_FORCED_NO 0u
#define SPARED_FORCED_ACTIVE 1u
#define SPARED_FORCED_BACKUP 2u

/* spared_directive.flags */
#define SPARED_DIRECTIVE_ELIGIBLE 0x1u    /* may become active */
#define SPARED_DIRECTIVE_MAINTENANCE 0x2u
#define SPARED_DIRECTIVE_RESIGN 0x4u      /* must give up being active now; why says the reason */
#define SPARED_DIRECTIVE_PEER 0x8u        /* peer_quality is known */
#define SPARED_DIRECTIVE_JOINING 0x10u    /* not yet in sync: weaker than a node that is */
#define SPARED_DIRECTIVE_READY 0x20u      /* a failover by this node would lose nothing: tell the peer */
#define SPARED_DIRECTIVE_FROZEN 0x40u     /* no change of role for quality or preference */
#define SPARED_DIRECTIVE_RELEASE 0x80u      /* the peer is prepared: publish BACKUP now, and let it go ahead */
#define SPARED_DIRECTIVE_PREPARED 0x100u      /* prepared: become active the moment that the peer lets go */

#define SPARED_QUALITY_MAX 100u

struct spared_directive {
	uint32_t size, flags;
	struct spared_str group;
	uint32_t quality, peer_quality; /* 0-100 */
	uint32_t forced, reserved;
	struct spared_str why;
};

struct spared_group_plugin {
	uint32_t size, reserved;
	/* [loop] What the host wants of a group; the newest is the whole truth. */
	spared_status (*directive)(void *self, const struct spared_directive *directive);
};

/* ---- conveniences: nothing of the ABI ------------------------------------------ */

/* A C string as a text; it must live as long as the text is used. NULL is empty. */
static inline struct spared_str spared_text(const char *text)
{
	struct spared_str str;
	str.ptr = text;
	str.len = text ? strlen(text) : 0;
	return str;
}

/* [any] printf to the log; longer lines than 1023 bytes are cut. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), unused))
#endif
static inline void spared_logf(const struct spared_host *host, uint32_t level,
                               const char *format, ...)
{
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	host->log(host->ctx, level, spared_text(line));
}

#ifdef __cplusplus
}
#endif
#endif /* SPARED_PLUGIN_H */
