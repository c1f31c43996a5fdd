/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * spared/plugin.h - the contract between spared and its plugins.
 *
 * A plugin is a shared object that exports one constant, spared_plugin_v0. A binary
 * built against this header works with every later host of the same major version, and
 * a source that compiles with this header compiles with every later one. (DRAFT: this
 * promise begins with spared_plugin_v1.)
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
 * Life of an instance (each arrow is a call on the plugin's one thread):
 *
 *     create -> configure -> start -> role -> ... -> stop -> destroy
 *                  ^                    |
 *                  +---- reload --------+   between start and stop, in any order: fd,
 *                                           timer, woken, query, drain, settle, role
 *                                           and the callbacks of extensions
 *
 * General rules:
 *  - Threads: all callbacks run on one thread and never re-enter. A plugin may call a
 *    function marked [loop] only on that thread, within a callback; on another thread it
 *    does nothing but log that, and returns -EPERM. One marked [any] may be called from any
 *    thread at any time between create and destroy. A plugin joins its threads in stop.
 *  - Memory: whoever allocates, frees. A pointer received in a call is borrowed until that
 *    call returns; what a plugin passes to the host is copied before the host function
 *    returns. A file descriptor stays with its owner: neither side closes the other's.
 *  - NULL: create and destroy are required. Without configure every configuration is
 *    accepted; without drain, settle or role the host does not wait for the plugin. Any
 *    other callback that is NULL is not called.
 *  - Sizes: every struct but spared_str and spared_bytes starts with its size, as its author
 *    compiled it. Set it in all that you pass, also in your half of an extension: less than
 *    the header's first version has is refused. Minor versions only append. Use SPARED_HAS
 *    before you read a field of the host's that a later minor appended. Walk an array of
 *    sized structs by SPARED_NEXT.
 *  - Zero: set flags that you do not use, and fields named reserved, to 0. Nobody reads what
 *    is reserved.
 *  - Text: what the host passes is UTF-8. Bytes of yours that are not are replaced, and a name
 *    or key that is not counts as empty. A text is cut at 64 KiB.
 *  - Tokens of callbacks are never 0, and none comes twice in a process.
 *  - Unknown values: tolerate unknown roles, kinds and states. Of unknown flags the low 16
 *    bits may be ignored; the high 16 (SPARED_FLAGS_REQUIRED) must be understood: a host
 *    function that gets an unknown one logs it and returns -EINVAL, and the host sets one
 *    only for a plugin whose minor version has it.
 *  - Names: plugins without a '-' and extensions that begin with "spared." belong to
 *    spared. A vendor puts its name into both: the plugin "acme-radius", the extension
 *    "com.acme.radius/1". A plugin cannot have the name of a verb of sparectl ("status",
 *    "check", "switch", "all", ...).
 *  - Time: a callback that runs longer than 50 ms delays the plugin's own timers. The host
 *    pings a worker every second and kills one that does not answer for 3 s.
 *  - Broken instances: -ENOTRECOVERABLE from any callback means that the instance must not
 *    be called again, not even destroyed. Its worker is restarted.
 *  - Processes: do not change signal dispositions, and do not fork to go on in the child;
 *    posix_spawn is fine. Children get no real-time priority, and no capabilities unless
 *    the plugin has SPARED_PLUGIN_ROOT.
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

/* True if a sized struct of the host reaches as far as a field. Only fields that a later minor
 * version appended need it:
 *     if (SPARED_HAS(host, later) && host->later) ... */
#define SPARED_HAS(p, field) \
	((p)->size >= offsetof(__typeof__(*(p)), field) + sizeof((p)->field))

/* The element behind p in an array of sized structs of the host, which may be longer than yours:
 *     const struct spared_finding *it = status->findings;
 *     for (uint32_t i = 0; i < status->finding_count; i++, it = SPARED_NEXT(it)) ... */
#define SPARED_NEXT(p) ((__typeof__(p))(const void *)((const char *)(p) + (p)->size))

/* Result of a callback or a host function. 0: done; negative: -errno, down to -4095; positive: one
 * of the values below, from the callbacks that may return it.
 *
 *     start, stop, drain,     SPARED_PENDING: done() will follow
 *     settle, role
 *     query                   SPARED_PENDING; SPARED_ATTENTION: answered, and the rows report
 *                             something that needs attention: sparectl exits with 1
 *     configure               SPARED_RESTART: valid, but only a new worker can use it
 *     done() of a query       SPARED_ATTENTION
 *     all others              none
 *
 * Any other number is logged with the names of plugin and callback, and treated as -EPROTO.
 * Host functions return 0 or -errno. Besides the errors listed with each: -EINVAL for an invalid
 * argument, -EPERM from [loop] functions on another thread, -EPIPE after the host has died. One that
 * waits for the host, which its comment says, waits for up to 100 ms: -ETIMEDOUT, the host may have
 * done it, or may do it yet; -EBUSY, 1024 messages of the host wait for the plugin to return. */
typedef int32_t spared_status;
#define SPARED_PENDING 1
#define SPARED_RESTART 2
#define SPARED_ATTENTION 3

/* Text: UTF-8, not NUL-terminated. ptr may be NULL if len is 0. */
struct spared_str {
	const char *ptr;
	size_t len;
};

struct spared_bytes {
	const uint8_t *ptr;
	size_t len;
};

/* Levels of log(). EVENT: for what an administrator wants to find in `sparectl events` a week
 * later; also logged as INFO. CONFLICT, by electors alone: an event, logged as WARN, that another
 * router is active too, or no longer is. An elector's event "GROUP: text" is one of that group. */
#define SPARED_LOG_ERROR 1u
#define SPARED_LOG_WARN 2u
#define SPARED_LOG_INFO 3u
#define SPARED_LOG_DEBUG 4u
#define SPARED_LOG_TRACE 5u
#define SPARED_LOG_EVENT 6u
#define SPARED_LOG_CONFLICT 7u

/* Bits of watch_fd() and fd(), with the meaning and values of poll(2). */
#define SPARED_FD_READ 0x1u
#define SPARED_FD_WRITE 0x4u
#define SPARED_FD_ERROR 0x8u
#define SPARED_FD_HANGUP 0x10u

/* Types of configuration values. */
#define SPARED_CONFIG_TEXT 1u
#define SPARED_CONFIG_INTEGER 2u /* fits an int64_t */
#define SPARED_CONFIG_FLOAT 3u
#define SPARED_CONFIG_BOOLEAN 4u /* "true" or "false" */
#define SPARED_CONFIG_TIME 5u    /* not used: a file with a date is refused */
#define SPARED_CONFIG_ARRAY 6u   /* config_len() */
#define SPARED_CONFIG_TABLE 7u   /* config_keys() */

/* Bits that must be understood, in any uint32_t flags. */
#define SPARED_FLAGS_REQUIRED 0xffff0000u

/* Flags of configure(). */
#define SPARED_CONFIGURE_CHECK 0x1u /* validate only, without any side effect */

/* Flags of struct spared_plugin. A host refuses a plugin that sets an unknown one of the high 16
 * bits. */
#define SPARED_PLUGIN_REALTIME 0x1u /* wants real-time priority and locked memory */
#define SPARED_PLUGIN_FILES 0x2u    /* reads and runs files that its configuration names */
#define SPARED_PLUGIN_WRITE 0x4u    /* with FILES: also writes them */
/* Runs as root, unconfined, with the capabilities of the starter, since its children are services
 * of the machine; not if the administrator's `allow` leaves out "root". Such a plugin has no peer:
 * root never parses data from the network. */
#define SPARED_PLUGIN_ROOT 0x8u
/* No traffic depends on it: by default its failure is a warning alone, and leaves the node as fit to
 * be active as before. The administrator's `on_failure` may say otherwise. */
#define SPARED_PLUGIN_ASIDE 0x10u

/* Groups of system calls, for the field calls. With any of them, the plugin is held to a list: to
 * these groups and BASIC. Another call fails with EPERM, and a line of log names it. Unknown groups
 * are refused. Without a list only calls that no plugin needs are denied. */
#define SPARED_CALLS_BASIC 0x1u   /* memory, threads, time; opens, reads and writes files; uses sockets that it has */
#define SPARED_CALLS_FILES 0x2u   /* makes, renames, removes, locks and changes files */
#define SPARED_CALLS_SOCKETS 0x4u /* makes sockets */
/* Starts programs. These inherit the list and need more than the plugin itself, so it is then as
 * long as systemd's for services, and a call that is not on it is not named. */
#define SPARED_CALLS_PROGRAMS 0x8u

/* Kinds of numbers in the answer to a query: one unit, with or without COUNTER. An unknown unit is
 * shown as a plain number. */
#define SPARED_ROW_NUMBER 0x0u    /* plain; the key names its unit, if it has one */
#define SPARED_ROW_BOOL 0x1u      /* 0 or 1 */
#define SPARED_ROW_NS 0x2u        /* a time in ns */
#define SPARED_ROW_BYTES 0x3u
#define SPARED_ROW_COUNTER 0x100u /* only rises while the worker lives; without it: a gauge */

/* Effect of a word of query(). */
#define SPARED_VERB_ASKS 1u    /* changes nothing: open to read-only users, also from the peer */
#define SPARED_VERB_CHANGES 2u /* for root, on this node; so is an effect that a host does not know */

/* One word of query(). Permissions, help and completion follow from the list; a word that is not
 * listed never arrives. The host itself asks three words, if they are listed as ASKS:
 *     "status"  for `sparectl status`
 *     "check"   for `spared check`: rows about faults of the programs and files that the plugin
 *               works with, and SPARED_ATTENTION if there are any; rows under "all." are about
 *               the question itself
 *     "totals"  the elector only, every second: a few cheap sums, for the record of the last minutes
 * The host answers "help" itself. */
struct spared_verb {
	uint32_t size;
	uint32_t effect;     /* SPARED_VERB_* */
	const char *word;    /* [a-z][a-z0-9-]*, at most 32 bytes; "" for `sparectl NAME` alone */
	const char *usage;   /* its arguments, as "NAME ADDRESS"; NULL or "" for none */
	const char *summary; /* one line, lower case, no full stop */
};

/* An element of such an array: SPARED_VERB(SPARED_VERB_ASKS, "diff", "", "compares both nodes"). */
#define SPARED_VERB(effect, word, usage, summary) \
	{ sizeof(struct spared_verb), effect, word, usage, summary }

/* Roles of a group. */
#define SPARED_ROLE_BACKUP 1u
#define SPARED_ROLE_ACTIVE 2u
#define SPARED_ROLE_FAULT 3u /* backup, and cannot become active */

/* Flags of struct spared_role. */
#define SPARED_ROLE_MAINTENANCE 0x1u /* this node is in maintenance */
#define SPARED_ROLE_PLANNED 0x2u     /* moved by a switchover, not by a failure */

struct spared_cause; /* of spared.group/1 */

/* A group's role, as followers are told it. The newest wins: it replaces an older role of the same
 * group that is still pending. Roles of several groups may be pending at once. The same role comes
 * again when SPARED_ROLE_MAINTENANCE changes, and as the last one, with SPARED_CAUSE_WITHDRAWN, when
 * the group is no longer configured. ACTIVE comes again with SPARED_CAUSE_CONFLICT when the peer was
 * active, too, and has given way: what a follower did outside of this node may have been undone. */
struct spared_role {
	uint32_t size;
	uint32_t role;           /* SPARED_ROLE_* */
	struct spared_str group; /* the configured name */
	struct spared_str why;   /* the sentence of `sparectl why` */
	uint64_t deadline_ns;    /* monotonic; afterwards the host goes on without the plugin */
	uint32_t flags;          /* SPARED_ROLE_MAINTENANCE, SPARED_ROLE_PLANNED */
	uint32_t before;         /* role that the plugin was last told for this group; 0: none yet */
	uint64_t epoch;          /* greater for the newer of two roles of a group */
	const struct spared_cause *cause; /* what why says, as data; valid until the callback returns */
};

/* Functions of the host. ctx is the first argument of each. */
struct spared_host {
	uint32_t size, minor;
	void *ctx;
	const char *brand; /* "spared", or the name of the fork that this host is */

	/* [any] Logs one line, without its newline. The host limits the rate. */
	void (*log)(void *ctx, uint32_t level, struct spared_str text);
	/* [any] Makes the host call woken() on the plugin's thread, once for any number of calls. */
	void (*wake)(void *ctx);
	/* [loop] In configure: reports a faulty key, once for each fault, before -EINVAL is returned.
	 * key is a path like "group.0.interface.1.vrid", why is like "found 300, allowed 1-255"; the
	 * host adds file and line. In other callbacks: the reason for a failure; key may be NULL. */
	spared_status (*fail)(void *ctx, const char *key, struct spared_str why);
	/* [loop] Value of a scalar, as text: "lan1", "-3", "0.5", "true". Parts of a key are separated
	 * by dots, positions in arrays are numbers: "group.0.name". A dot or backslash within a part
	 * is escaped by a backslash: "route.10\.0\.0\.0/8". A table by node name stands for this
	 * node's value. -ENOENT: absent; -EISDIR: a table or an array. Valid until the callback
	 * returns. Keys of the host:
	 *     "@node"      this node's name
	 *     "@nodes.0"   and on: names of [nodes]; config_len "@nodes"
	 *     "@links.0"   and on: interfaces of the links to the peer; config_len "@links"
	 *     "@peer"      the peer's name; -ENOENT unless keys are configured to authenticate it
	 *     "@state"     the plugin's own directory: it outlives worker, host and reboots, and nobody
	 *                  else writes there; -ENOENT if there is none */
	spared_status (*config_get)(void *ctx, const char *key, struct spared_str *out);
	/* [loop] Type of a value, SPARED_CONFIG_*; for a table by node name, of this node's value.
	 * -ENOENT. */
	spared_status (*config_type)(void *ctx, const char *key, uint32_t *type);
	/* [loop] Name of the index-th key of a table, sorted by name and escaped as a part of a longer
	 * key: to refuse unknown keys. key "" is the top of the file, without the host's own keys.
	 * -ENOENT: no such table, or no more keys; -ENOTDIR: no table. Valid until the callback
	 * returns. */
	spared_status (*config_keys)(void *ctx, const char *key, uint32_t index,
	                             struct spared_str *name);
	/* [loop] Length of an array. -ENOENT, -ENOTDIR. */
	spared_status (*config_len)(void *ctx, const char *key, uint32_t *n);
	/* [loop] Makes the host call fd() whenever the descriptor is ready (level-triggered) for one of
	 * events, and for ERROR and HANGUP always; 0 ends that: before the descriptor is closed, as its
	 * number may come again. The descriptor stays the plugin's. -EBADF; -EPERM: of a file or a
	 * folder, which are always ready; -ENOSPC: more than 4096 descriptors. */
	spared_status (*watch_fd)(void *ctx, int fd, uint32_t events);
	/* [loop] Sets the one-shot timer id to a monotonic time in ns, in place of an earlier time; 0
	 * cancels it. -ENOSPC: more than 4096 timers. */
	spared_status (*timer)(void *ctx, uint32_t id, uint64_t at_ns);
	/* [loop] CLOCK_MONOTONIC in ns. */
	uint64_t (*now)(void *ctx);
	/* [loop] Completes the callback that returned SPARED_PENDING under this token, or is about to.
	 * A stale token is ignored. */
	spared_status (*done)(void *ctx, uint64_t token, spared_status status);
	/* [loop] Adds a row to the answer to query(); key is like "virtual_router.lan2.received". Each
	 * key once: sparectl sorts rows by key, and of two with one key shows the later. sparectl status
	 * shows the row "summary" under the plugin's name alone, and rows whose key has a dot only with
	 * --verbose. A text is one line: control characters in it become spaces. -EMSGSIZE: the answer is
	 * full (64 KiB), and the user is told that rows are missing. -ENOENT: the answer has ended, or was
	 * given up. */
	spared_status (*put_text)(void *ctx, uint64_t token, const char *key, struct spared_str value);
	/* [loop] Adds a row with a number; kind is SPARED_ROW_*. */
	spared_status (*put_u64)(void *ctx, uint64_t token, const char *key, uint32_t kind,
	                         uint64_t value);
	/* [loop] Adds a row with a number that may be negative. */
	spared_status (*put_i64)(void *ctx, uint64_t token, const char *key, uint32_t kind,
	                         int64_t value);
	/* [loop] The host's half of an extension, or NULL if this host does not have it. Valid until
	 * destroy; its functions take this same ctx. */
	const void *(*extension)(void *ctx, const char *id);
};

/* Exported by a plugin, as the constant spared_plugin_v0. */
struct spared_plugin {
	uint32_t size, minor; /* sizeof(struct spared_plugin), SPARED_MINOR */
	uint32_t needs_minor; /* older hosts are refused; 0 unless it is really needed */
	uint32_t flags;       /* SPARED_PLUGIN_* */

	uint32_t wire_min, wire_max; /* versions of its messages to the peer plugin; 0 if it has none */
	/* Bits 1 << CAP_..., as in <linux/capability.h>; those that amount to root are refused.
	 * CAP_DAC_OVERRIDE opens files of others, but only those that FILES, WRITE or paths allow. */
	uint64_t capabilities;

	const char *name;    /* [a-z][a-z0-9-]*, at most 32 bytes, with a vendor's part; the file is NAME.so */
	const char *version; /* of the plugin */
	const char *vendor;
	const char *summary; /* one line, lower case, no full stop */
	const char *brand;   /* fork of spared whose extensions it requires; NULL: none */

	/* [loop] Allocates an instance. No I/O, no threads. host outlives the instance. *self is passed
	 * to all other callbacks; if a plugin without state leaves it NULL, they get a pointer that leads
	 * nowhere. */
	spared_status (*create)(const struct spared_host *host, void **self);
	/* [loop] Frees the instance. Nothing is called afterwards. */
	void (*destroy)(void *self);
	/* [loop] The values of the plugin's file as TOML, without its comments; empty if there is none.
	 * Called before start, and again at each reload while it runs: apply the difference, or return
	 * SPARED_RESTART. On failure the old configuration stays in force. */
	spared_status (*configure)(void *self, struct spared_str toml, uint32_t flags);
	/* [loop] Begins the work, after every plugin was configured; then role() is called for each
	 * group. May be pending for 90 s, for a database or a dial-up: until it is done there are no
	 * roles, queries or messages and nobody waits for this plugin, but fd, timer and woken are
	 * called. A plugin that takes longer is restarted, like one whose start failed. */
	spared_status (*start)(void *self, uint64_t token);
	/* [loop] Ends the work; only destroy follows. Must return within 1 s, and may be pending for 3 s
	 * in all, with fd, timer and woken called; then the process is killed. Also called while start
	 * is pending, and after the host has died: then host functions fail with -EPIPE, and 2 s
	 * remain. */
	spared_status (*stop)(void *self, uint64_t token);
	/* [loop] Before a switchover, on the active node, if the peer plugin is connected: send it all
	 * that you have. A failure cancels the switchover, unless it goes on anyway. */
	spared_status (*drain)(void *self, uint64_t token, uint64_t deadline_ns);
	/* [loop] Before the addresses of a failover, and as the barrier of a switchover: apply all that
	 * you received. The host does not wait beyond the deadline (monotonic); it logs a failure and goes
	 * on. */
	spared_status (*settle)(void *self, uint64_t token, uint64_t deadline_ns);
	/* [loop] A group's role. */
	spared_status (*role)(void *self, uint64_t token, const struct spared_role *role);
	/* [loop] A watched descriptor is ready. */
	spared_status (*fd)(void *self, int fd, uint32_t events);
	/* [loop] A timer expired. */
	spared_status (*timer)(void *self, uint32_t id);
	/* [loop] After wake(). */
	spared_status (*woken)(void *self);
	/* [loop] `sparectl NAME ARGV...`: argv begins with the word of one of verbs, or is empty. Answer
	 * with put_text, put_u64 and put_i64; for arguments that do not fit fail(NULL, why) and -EINVAL.
	 * After SPARED_PENDING rows may be put until done(); the host waits 12 s, for "status" 1 s. */
	spared_status (*query)(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc);
	/* [loop] The plugin's half of an extension (struct spared_..._plugin), or NULL. May be
	 * called before create. */
	const void *(*extension)(const char *id);

	/* Absolute paths of files and folders that it may read and run besides those of its
	 * configuration, with all below; after a leading '+' it may also write there: create, rename,
	 * remove, truncate. At most 64, then NULL; NULL for none. Ignored: paths that do not exist when
	 * the plugin is started, and those of the host: /etc/spared, its other folders and whatever is
	 * above them. */
	const char *const *paths;

	/* The words of query(): verb_count, at most 64, walked by each one's size. */
	const struct spared_verb *verbs;
	uint32_t verb_count;

	uint32_t calls; /* SPARED_CALLS_* that it makes; 0: it has no list */
};

/* Declared, so that in C++ the constant has C linkage. */
extern SPARED_EXPORT const struct spared_plugin spared_plugin_v0;

/* Defines it: SPARED_PLUGIN(.name = "acme-lamp", .create = create, ...); in C++ (from C++20) with
 * the fields in the order of the struct. Sets size and minor; what is left out is NULL. */
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

/* ---- spared.peer/1: messages to the peer plugin, the same plugin on the peer --- */

#define SPARED_PEER "spared.peer/1"
#define SPARED_PEER_MESSAGE_MAX 65536u

struct spared_peer {
	uint32_t size, reserved;
	/* [loop] Queues one message; messages are ordered and reliable while the peer plugin is up.
	 * -EAGAIN: full, writable() follows; -ENOTCONN: not up; -EMSGSIZE. Before -EAGAIN at least 16
	 * messages of the greatest size wait, or 2000 of up to 100 bytes; up to 256 KiB more are in
	 * transit. down() loses all of them. */
	spared_status (*send)(void *ctx, struct spared_bytes message);
	/* [loop] Reports whether this node holds all that a failover to it needs; if not, why. Ends
	 * with up() or down(), and is "no" until reported: a plugin with a channel must report it. */
	spared_status (*in_sync)(void *ctx, uint32_t yes, struct spared_str why);
};

struct spared_peer_plugin {
	uint32_t size, reserved;
	/* [loop] The peer plugin is connected; wire is the highest version that both support. */
	spared_status (*up)(void *self, uint32_t wire);
	/* [loop] The peer plugin is gone; what was queued is lost. */
	spared_status (*down)(void *self);
	/* [loop] A message from the peer plugin: untrusted bytes, in order, each once. */
	spared_status (*message)(void *self, struct spared_bytes message);
	/* [loop] There is room again: once after -EAGAIN. */
	spared_status (*writable)(void *self);
};

/* ---- spared.local/1: messages to other plugins of this node --------------------- */

#define SPARED_LOCAL "spared.local/1"
#define SPARED_LOCAL_MESSAGE_MAX 65536u
#define SPARED_LOCAL_PARTNERS_MAX 8u

/* Two plugins are partners if each names the other: such as one that is root, and one that has a
 * peer. Each is named by its position in the list of the other. */
struct spared_local {
	uint32_t size, reserved;
	/* [loop] Queues one message to a partner; messages are ordered and reliable while it is up.
	 * -EAGAIN: full, writable() follows; -ENOTCONN: not up; -EMSGSIZE; -EINVAL: no such partner.
	 * Before -EAGAIN at least 4 messages of the greatest size wait, or 400 of up to 100 bytes. down()
	 * of the partner loses all of them. */
	spared_status (*send)(void *ctx, uint32_t partner, struct spared_bytes message);
};

struct spared_local_plugin {
	uint32_t size;
	uint32_t partner_count;      /* at most SPARED_LOCAL_PARTNERS_MAX */
	const char *const *partners; /* names of other plugins, each once */
	/* [loop] A partner is connected: both have started. It knows nothing of earlier messages. */
	spared_status (*up)(void *self, uint32_t partner);
	/* [loop] A partner has ended or is restarted; up() follows when it runs again. */
	spared_status (*down)(void *self, uint32_t partner);
	/* [loop] A message from a partner: in order, each once, without descriptors. To a plugin with
	 * SPARED_PLUGIN_ROOT these are untrusted bytes, as its partner may read the network. */
	spared_status (*message)(void *self, uint32_t partner, struct spared_bytes message);
	/* [loop] There is room again: once after -EAGAIN. */
	spared_status (*writable)(void *self, uint32_t partner);
};

/* ---- spared.identity/1: statements that prove which node made them ------------- */

#define SPARED_IDENTITY "spared.identity/1"
#define SPARED_IDENTITY_STATEMENT_MAX 512u
#define SPARED_IDENTITY_SIGNATURE_SIZE 64u

struct spared_identity {
	uint32_t size, reserved;
	/* [loop] Requests this node's signature of a statement (Ed25519, 64 bytes), by its key of
	 * [nodes] or of the passphrase; signature() follows with the same ticket. The signed data
	 * begin with the plugin's name: the signature is valid for no other plugin and no session.
	 * Returns at once. -ENOTCONN: no keys are configured, or the process that holds them is being
	 * started; -EAGAIN: too many requests wait; -EMSGSIZE: a statement of more than 512 bytes. At
	 * most 20 requests of a plugin are answered in a second, sign and verify together; an answer
	 * may also be lost with the process: ask again after a second. */
	spared_status (*sign)(void *ctx, uint64_t ticket, struct spared_bytes statement);
	/* [loop] Asks whether the peer made a signature of a statement, by any key that [nodes] has for
	 * it; verified() follows. Errors as of sign; -EMSGSIZE also for a signature that is not 64
	 * bytes long. */
	spared_status (*verify)(void *ctx, uint64_t ticket, struct spared_bytes statement,
	                        struct spared_bytes signature);
};

struct spared_identity_plugin {
	uint32_t size, reserved;
	/* [loop] The signature that sign() requested. */
	spared_status (*signature)(void *self, uint64_t ticket, struct spared_bytes signature);
	/* [loop] The answer to verify(). yes: 1 if the peer made the signature, else 0. */
	spared_status (*verified)(void *self, uint64_t ticket, uint32_t yes);
};

/* ---- spared.check/1: state of what a plugin watches, and quality of this node -- */

#define SPARED_CHECK "spared.check/1"
/* State that is not known yet. It counts as good. */
#define SPARED_CHECK_UNKNOWN 0xffffffffu
/* State of something that works here and ends with this node: a failover loses it. It counts as good. */
#define SPARED_CHECK_LOSES 0xfffffffeu

struct spared_check {
	uint32_t size, reserved;
	/* [loop] Reports a check. name is unique in the plugin, 1-64 bytes; weight 0-9999; state 0
	 * (failed) to 100 (good), SPARED_CHECK_UNKNOWN or SPARED_CHECK_LOSES. The weight is for the election alone:
	 * report something that is not as configured as a failed check, in every role, with weight 0
	 * if this node is no less fit for it. sparectl status of both nodes lists every check that is
	 * not good. */
	spared_status (*report)(void *ctx, const char *name, uint32_t weight, uint32_t state,
	                        struct spared_str why);
	/* [loop] Withdraws a check. */
	spared_status (*forget)(void *ctx, const char *name);
};

/* ---- spared.status/1: the state of the pair, and its events --------------------- */

#define SPARED_STATUS "spared.status/1"

/* What watch() requests. */
#define SPARED_WATCH_STATUS 0x1u
#define SPARED_WATCH_EVENTS 0x2u

/* Verdicts, as sparectl status prints them, from best to worst. Treat an unknown one as WARN. */
#define SPARED_VERDICT_OK 0u       /* as configured; a failover now loses nothing */
#define SPARED_VERDICT_WARN 1u     /* a failover works or may work; the findings name what is wrong */
#define SPARED_VERDICT_UNKNOWN 2u  /* a node serves; it is unknown whether a failover would work */
#define SPARED_VERDICT_ALONE 3u    /* a node serves, and there is no backup */
#define SPARED_VERDICT_CONFLICT 4u /* two routers are active */
#define SPARED_VERDICT_NONE 5u     /* nobody is active */

struct spared_group_status {
	uint32_t size, verdict;     /* SPARED_VERDICT_* */
	struct spared_str group;    /* empty: there is no group */
	struct spared_str headline; /* a sentence with the group's name */
	uint32_t role, reserved;    /* of this node, SPARED_ROLE_*; 0 without a group */
};

struct spared_finding {
	uint32_t size, flags;    /* none yet */
	struct spared_str id;    /* "SP-0401", which never changes */
	struct spared_str node;  /* with the fault */
	struct spared_str thing; /* a check, an interface, a plugin, a group, a key */
	struct spared_str text;
	struct spared_str todo;  /* remedy; may be empty */
	struct spared_str since; /* local time, as at of struct spared_event; empty: not known */
};

/* Flags of struct spared_pair_status. */
#define SPARED_PAIR_READY 0x1u   /* a failover to this node would lose nothing */
#define SPARED_PAIR_LINK_UP 0x2u /* there is a session with the peer */

/* The same as sparectl status. */
struct spared_pair_status {
	uint32_t size, flags;    /* SPARED_PAIR_* */
	uint32_t verdict;        /* the worst of all groups */
	uint32_t quality;        /* of this node, 0-100 */
	struct spared_str node, peer; /* names; peer is empty if there is none */
	const struct spared_group_status *groups;
	const struct spared_finding *findings; /* of both nodes, worst first */
	uint32_t group_count, finding_count;
	uint32_t left_out, reserved; /* groups and findings for which there was no room */
};

/* A line of sparectl events. */
struct spared_event {
	uint32_t size, level;     /* SPARED_LOG_ERROR, SPARED_LOG_WARN or SPARED_LOG_INFO */
	uint64_t lost;            /* events between the one before and this one that were not told */
	struct spared_str at;     /* local time, "2026-11-22T18:00:00.123+01:00" */
	struct spared_str kind;   /* one word, as SPARED_EVENT= of the journal: "role" */
	struct spared_str group;  /* empty: of none */
	struct spared_str reason; /* one word, as REASON= of the journal; may be empty */
	struct spared_str text;
};

struct spared_watch {
	uint32_t size, reserved;
	/* [loop] Requests what status() and event() are called for, SPARED_WATCH_*, in place of an earlier
	 * request; 0 ends that. Waits for the host. */
	spared_status (*watch)(void *ctx, uint32_t what);
};

struct spared_watch_plugin {
	uint32_t size, reserved;
	/* [loop] State of the pair, once after watch() and then at each change, at most once a second. */
	spared_status (*status)(void *self, const struct spared_pair_status *status);
	/* [loop] An event of this node. At most 20 a second are told, after a burst of 100; others are
	 * counted in lost of the next one. */
	spared_status (*event)(void *self, const struct spared_event *event);
};

/* ---- spared.scope/1: how keys of the configuration compare between the nodes ---- */

#define SPARED_SCOPE "spared.scope/1"

#define SPARED_SCOPE_PAIR 1u  /* must be equal on both nodes; the default */
#define SPARED_SCOPE_NODE 2u  /* may differ */
#define SPARED_SCOPE_LOCAL 3u /* is never compared */
/* Must be equal on both nodes: compared by 16 bits of a digest, and shown nowhere. So are undeclared
 * keys with "secret", "password", "passphrase", "private_key" or "psk" in their names. */
#define SPARED_SCOPE_SECRET 4u

struct spared_scope {
	uint32_t size, reserved;
	/* [loop] In configure: scope of a key and all keys below it; positions in arrays are left out:
	 * "server.interface". -EINVAL. */
	spared_status (*declare)(void *ctx, const char *key, uint32_t scope);
};

/* ---- spared.interface/1: state of interfaces, and sockets on them -------------- */

#define SPARED_INTERFACE "spared.interface/1"

/* Sets of sockets that follow() requests. */
#define SPARED_SOCKETS_NONE 0x0u
#define SPARED_SOCKETS_VRRP 0x1u      /* for the elector alone */
#define SPARED_SOCKETS_HEARTBEAT 0x2u /* for the elector alone */
#define SPARED_SOCKETS_PING 0x4u

/* Kinds of descriptors in an event. All are non-blocking.
 * VRRP_LINK:  AF_PACKET/SOCK_RAW bound to the interface; receives whole frames that carry
 *             IP protocol 112, before any firewall; sends whole frames.
 *             The multicast groups are joined.
 * VRRP_IPV4:  AF_INET raw, IP_HDRINCL, bound to the interface: sending unicast only.
 * VRRP_IPV6:  the same for AF_INET6 (IPV6_HDRINCL).
 * STATIONS:   AF_PACKET/SOCK_RAW, of the set VRRP; receives ARP and neighbour discovery frames of
 *             other stations and sends probes, to find out whether the network works.
 * HEARTBEAT_IN:    AF_PACKET/SOCK_DGRAM on an interface of a link; receives whole IP packets of
 *             UDP from the peer's address and port to this node's, before any firewall.
 * HEARTBEAT_OUT:   AF_INET or AF_INET6 UDP, bound to the interface, connected to the peer: send only.
 * VRRP_HEARTBEAT:  AF_PACKET/SOCK_RAW, of the set VRRP; receives whole frames that carry UDP from
 *             and to port 3780, before any firewall. To send them use the sockets of adverts:
 *             VRRP_LINK, VRRP_IPV4 or VRRP_IPV6.
 * PING_IPV4:  AF_INET raw ICMP that receives echo replies and unreachables (with the IP
 *             header); PING_IPV6 the same for ICMPv6 (without). Bound to the interface, or to
 *             none if the name "@any" was followed. */
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

/* An address of the node itself, never a virtual address of spared. */
struct spared_own_address {
	uint32_t size;
	uint32_t family; /* 4 or 6 */
	uint32_t prefix;
	uint32_t flags;     /* 0 */
	uint8_t octets[16]; /* network order; IPv4 in the first four */
};

/* Complete state of one interface. Descriptors stay open under the same numbers until an event
 * omits them; the plugin must then stop watching them. */
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
	/* [loop] Makes the host call changed(), once with the present state and then at each change,
	 * also for a name that does not exist yet. Waits for the host. -EPERM: sockets for the elector
	 * alone; -ENOSPC: more than 1024 interfaces. */
	spared_status (*follow)(void *ctx, const char *name, uint32_t sockets);
	/* [loop] Ends that, and closes the sockets. Waits for the host. -ENOENT: it is not followed. */
	spared_status (*unfollow)(void *ctx, const char *name);
};

struct spared_interface_plugin {
	uint32_t size, reserved;
	/* [loop] State of an interface that is followed. */
	spared_status (*changed)(void *self, const struct spared_interface_event *event);
};

/* ---- spared.group/1: for the elector, the plugin that decides roles ------------ */

#define SPARED_GROUP "spared.group/1"

/* Flags of spared_virtual_router_claim. */
#define SPARED_VIRTUAL_ROUTER_VMAC 0x1u   /* answer with the virtual MAC of RFC 9568 */
#define SPARED_VIRTUAL_ROUTER_ACCEPT 0x2u /* accept packets to the addresses (pings, services) */
#define SPARED_VIRTUAL_ROUTER_ROUTED 0x4u /* adverts arrive through routers: accept any TTL */

/* One virtual router. The fence passes its adverts while its fence lease is valid. */
struct spared_virtual_router_claim {
	uint32_t size, flags;
	struct spared_str interface;
	uint32_t family; /* 4 or 6 */
	uint32_t vrid;   /* 1-255 */
	struct spared_str vmac_name; /* of its virtual-MAC device; empty: by VRID and interface */
};

/* Value of virtual_router for an address that belongs to none; it follows the group. */
#define SPARED_NO_VIRTUAL_ROUTER 0xffffffffu

struct spared_address_claim {
	uint32_t size, flags;    /* SPARED_ADDRESS_... */
	uint32_t virtual_router; /* index into virtual_routers, or SPARED_NO_VIRTUAL_ROUTER */
	uint32_t family, prefix;
	uint32_t reserved;
	struct spared_str interface;
	uint8_t octets[16]; /* network order; IPv4 in the first four, also below */
};

#define SPARED_ADDRESS_SOURCE 0x1u /* source address of the node's own packets to that network */
#define SPARED_ADDRESS_OWN    0x2u /* the node's own, as an owner's of RFC 9568: others set it by right */

struct spared_route_claim {
	uint32_t size, flags;         /* none yet */
	uint32_t family, prefix;      /* of the destination */
	uint32_t metric, table;       /* 0: the kernel's default; 0: main */
	struct spared_str interface;  /* may be empty if there is a gateway */
	uint8_t destination[16];
	uint8_t gateway[16];          /* all zero: none */
	uint8_t source[16];           /* preferred source; all zero: none */
};

/* Everything that a group claims; replaces earlier claims. Installed while the group is active. */
struct spared_claims {
	uint32_t size, flags; /* none yet */
	const struct spared_virtual_router_claim *virtual_routers;
	const struct spared_address_claim *addresses;
	const struct spared_route_claim *routes;
	uint32_t virtual_router_count, address_count, route_count;
	uint32_t refresh_s;   /* interval at which addresses are announced again; 0: never */
	uint64_t lease_ns;    /* how long one advert keeps the fence passing */
};

/* Why a group has its role, as a kind with its numbers. The host makes the sentences of `sparectl
 * why`, of history and journal from it, and adds the checks behind a quality. Each kind is listed
 * with REASON= of the journal, its meaning, and the fields that it uses. A host shows a kind that it
 * does not know by its text: with a kind of a later minor version, say the same in text. */
#define SPARED_CAUSE_OTHER 0u /* other: text, a clause like "its lamp is red" */

/* About the other router */
#define SPARED_CAUSE_NOBODY_HEARD 1u  /* nobody-heard: interface, for_ns */
#define SPARED_CAUSE_PEER_SILENT 2u   /* peer-silent: peer, interface, for_ns */
#define SPARED_CAUSE_PEER_RESIGNED 3u /* peer-resigned: peer */
#define SPARED_CAUSE_PEER_ACTIVE 4u   /* peer-active: peer; own and theirs are priorities */
#define SPARED_CAUSE_PEER_UNABLE 5u   /* peer-aside, it cannot be active: peer */
#define SPARED_CAUSE_PEER_ASIDE 6u    /* peer-aside, it is forced backup or in maintenance: peer */
#define SPARED_CAUSE_PEER_JOINING 7u  /* peer-aside, it is not yet in sync: peer */
#define SPARED_CAUSE_PEER_FORCED 8u   /* forced, the peer to be active: peer */

/* Both nodes compared. If they are equal, the preferred flags tell which one is preferred, else the
 * role tells which one was active first. */
#define SPARED_CAUSE_QUALITY 9u    /* quality, preferred, active-first or peer-active: own, theirs,
                                    * peer; text: faults of interfaces here, as "lan1 is down" */
#define SPARED_CAUSE_PRIORITY 10u  /* priority: own, theirs, peer */
#define SPARED_CAUSE_PREFERRED 11u /* preferred, the peer is no fitter: peer */
#define SPARED_CAUSE_FAILBACK 12u  /* peer-active, though this node is preferred: peer, for_ns is
                                    * the delay; READY, or text: what this node lacks */
#define SPARED_CAUSE_OWNER 13u     /* owner of the addresses */

/* By an administrator or the host; text is the directive's why */
#define SPARED_CAUSE_FORCED 14u       /* forced to be active: text; with peer, own and theirs: by
                                       * which qualities the peer would be without that */
#define SPARED_CAUSE_STANDS_ASIDE 15u /* stands-aside: text */
#define SPARED_CAUSE_BARRED 16u       /* barred: text */

/* About interfaces */
#define SPARED_CAUSE_UNHEARD_INTERFACE 17u /* unheard-interface: interface, peer */
#define SPARED_CAUSE_INTERFACE_HURT 18u    /* interface-hurt: text, as "lan1 is down" */
#define SPARED_CAUSE_ISOLATED 19u          /* isolated: text, as "lan1 is down, lan2 is down" */
#define SPARED_CAUSE_ADVERTS_UNSENT 20u    /* adverts-unsent: interface */

/* By switchovers */
#define SPARED_CAUSE_SWITCHOVER 21u  /* switchover, by the peer: peer */
#define SPARED_CAUSE_ASKED 22u       /* switchover, by request: text is the directive's why */
#define SPARED_CAUSE_NOT_IN_SYNC 23u /* not-in-sync, this node */

/* About this node */
#define SPARED_CAUSE_LISTENING 24u      /* listening: for_ns */
#define SPARED_CAUSE_LATE 25u           /* late, an advert after the end of its fence lease: for_ns */
#define SPARED_CAUSE_FENCE_BLOCKING 26u /* fence-blocking: publish failed */
#define SPARED_CAUSE_CLONED 27u         /* cloned: another machine sends in this node's name */
#define SPARED_CAUSE_SECOND 28u         /* second: the peer hears another machine with its key */
#define SPARED_CAUSE_WITHDRAWN 29u      /* withdrawn: no longer configured */
#define SPARED_CAUSE_SHUTDOWN 30u       /* shutdown */
#define SPARED_CAUSE_CONFLICT 31u       /* conflict, which this node won: peer was active, too, for
                                         * for_ns. Followers are told ACTIVE again */

/* Published by the host itself, with a text; for those who read causes */
#define SPARED_CAUSE_CLAIMED 64u      /* claimed: no role was published yet */
#define SPARED_CAUSE_ELECTOR_DIED 65u /* elector-died */
#define SPARED_CAUSE_LAPSED 66u       /* lapsed: nobody renewed the fence lease */
#define SPARED_CAUSE_KERNEL 67u       /* kernel: the fence cannot pass */
#define SPARED_CAUSE_STARTED 68u      /* started: the previous run ended abnormally */

/* spared_cause.flags */
#define SPARED_CAUSE_BY_SWITCHOVER 0x1u  /* backup: switched over to peer, for this reason; active: the
                                         * peer switched over, and this is why this node serves */
#define SPARED_CAUSE_OWN_PREFERRED 0x2u
#define SPARED_CAUSE_PEER_PREFERRED 0x4u
#define SPARED_CAUSE_READY 0x8u          /* this node is ready */

struct spared_cause {
	uint32_t size, kind; /* SPARED_CAUSE_* */
	uint32_t flags;
	uint32_t own, theirs; /* this node's quality or priority, and the peer's */
	uint32_t reserved;
	uint64_t for_ns;
	struct spared_str peer;      /* name or address of the other router */
	struct spared_str interface; /* one, or several with ", " between them */
	struct spared_str text;      /* free text, truncated to 1024 characters */
};

/* An element of claim(). */
struct spared_group_claim {
	uint32_t size, flags; /* none yet */
	struct spared_str group;
	const struct spared_claims *claims; /* NULL withdraws the group */
};

/* Flags of struct spared_publication. */
#define SPARED_PUBLISH_REOPEN 0x1u

/* An element of publish(). */
struct spared_publication {
	uint32_t size, flags; /* SPARED_PUBLISH_REOPEN */
	struct spared_str group;
	uint32_t role, reserved; /* SPARED_ROLE_* */
	const struct spared_cause *cause;
};

/* Groups of a node, and so the longest array of claim(), publish() and announce(). */
#define SPARED_GROUPS_MAX 255u

/* claim(), publish() and announce() take arrays, as a failure may move hundreds of groups at once: one
 * call waits for the host once, for up to 100 ms. Each element has a status of its own, and one that
 * fails prevents no other. statuses is NULL, or has room for count of them. The result is 0, or the
 * status of the first element that failed; -EINVAL, with nothing done and no statuses, for an array
 * that is NULL, too long, or has an element without its size.
 *     -EINVAL     of an element, with the reason logged: no group, one that stands twice in the
 *                 array, or what the function lists
 *     -ETIMEDOUT  no answer: the host may have done it, or may do it yet */
struct spared_group {
	uint32_t size, reserved;
	/* [loop] Declares groups, or replaces their claims. While a group is active only the difference is
	 * applied. -EINVAL also for claims that are invalid or another group's. */
	spared_status (*claim)(void *ctx, const struct spared_group_claim *claims, uint32_t count,
	                       spared_status *statuses);
	/* [loop] Sets the roles of groups. ACTIVE returns when the fence is passing: advertise then. BACKUP
	 * returns when it is blocking: send priority 0 then. All fence leases are granted in one
	 * transaction of the kernel: if it fails, it fails for each of them. The same role with another
	 * cause only replaces the cause. ACTIVE once more with SPARED_PUBLISH_REOPEN grants every fence
	 * lease anew, also those that lapsed: read your sockets empty first, and make sure that nobody
	 * else is active. -EINVAL also for an invalid role, or a cause that is NULL or too short.
	 * -ETIMEDOUT: the role is then BACKUP. */
	spared_status (*publish)(void *ctx, const struct spared_publication *publications,
	                         uint32_t count, spared_status *statuses);
	/* [loop] Announces the addresses of groups again: at once, after 1 s and after 5 s. */
	spared_status (*announce)(void *ctx, const struct spared_str *groups, uint32_t count,
	                          spared_status *statuses);
	/* [loop] On the active node: the peer is fitter, switch the group over to it. Followers drain,
	 * the peer applies and prepares; then SPARED_DIRECTIVE_RELEASE is set here and the group moves.
	 * If that fails nothing changes, and the host has logged why: ask again after some seconds.
	 * Waits for the host, for the start alone. -EALREADY: one is under way; -EHOSTUNREACH: no link. */
	spared_status (*switch_over)(void *ctx, const char *group, const struct spared_cause *cause);
	/* [loop] Replaces the cause of a published role, as long as the group has that role. Returns
	 * without waiting for the host: for a cause that follows the facts while adverts must not
	 * wait. */
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
#define SPARED_DIRECTIVE_RESIGN 0x4u      /* must stop being active now; why has the reason */
#define SPARED_DIRECTIVE_PEER 0x8u        /* peer_quality is known */
#define SPARED_DIRECTIVE_JOINING 0x10u    /* not yet in sync: weaker than a node that is */
#define SPARED_DIRECTIVE_READY 0x20u      /* a failover to this node would lose nothing: tell the peer */
#define SPARED_DIRECTIVE_FROZEN 0x40u     /* no change of role for quality or preference */
#define SPARED_DIRECTIVE_RELEASE 0x80u      /* the peer is prepared: publish BACKUP now */
#define SPARED_DIRECTIVE_PREPARED 0x100u      /* prepared: become active as soon as the peer lets go */
#define SPARED_DIRECTIVE_HELD 0x200u          /* active here until an elector ended; the machine ran on */

#define SPARED_QUALITY_MAX 100u
/* Nodes whose qualities differ by less are equally fit: no role changes for that. */
#define SPARED_QUALITY_STEP 5u

struct spared_directive {
	uint32_t size, flags;
	struct spared_str group;
	uint32_t quality, peer_quality; /* 0-100 */
	uint32_t forced, reserved;
	struct spared_str why;
};

struct spared_group_plugin {
	uint32_t size, reserved;
	/* [loop] The host's directive for a group; the newest replaces all earlier ones. */
	spared_status (*directive)(void *self, const struct spared_directive *directive);
};

/* ---- spared.claim/1: addresses and routes of a group, for plugins that do not elect */

#define SPARED_CLAIM "spared.claim/1"
/* Most addresses, and most routes, that a plugin may add to a group. */
#define SPARED_ADDITIONS_MAX 64u

struct spared_addition {
	uint32_t size, reserved;
	/* [loop] Adds addresses and routes to a group of the elector's, in place of those that this
	 * plugin added before; NULL takes them away. They are installed and announced with the group's
	 * own, before role(), and answer only while the group's fence is passing. The group may come
	 * later. Of claims, virtual_routers is empty, and refresh_s and lease_ns are ignored. They stay
	 * when the worker ends; what the next one has not added again when it has started is removed.
	 * Waits for the host. -EPERM: the plugin has not CAP_NET_ADMIN; -EINVAL, with the reason logged:
	 * invalid, claimed already, more than SPARED_ADDITIONS_MAX, or for more than SPARED_GROUPS_MAX
	 * groups. */
	spared_status (*add)(void *ctx, const char *group, const struct spared_claims *claims);
};

/* ---- helpers, no part of the ABI ------------------------------------------------ */

/* A C string as text; it must live as long as the text is used. NULL is the empty text. */
static inline struct spared_str spared_text(const char *text)
{
	struct spared_str str;
	str.ptr = text;
	str.len = text ? strlen(text) : 0;
	return str;
}

/* [any] printf to the log; longer lines are truncated to 1023 bytes. */
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
