/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * spared_plugin.h - write a plugin of spared in C.
 *
 * A plugin is a shared object with a note, which says what it is and what it asks for, and one
 * function, which gets the socket of the daemon. This library has both: it is compiled into the
 * plugin, and needs nothing but libc.
 *
 *     #include "spared_plugin.h"
 *
 *     static spared_status role(void *self, uint64_t token, const struct spared_role *event)
 *     {
 *         (void)self, (void)token;
 *         spared_logf(SPARED_INFO, "%.*s has role %u", (int)event->group.len, event->group.ptr, event->role);
 *         return 0;
 *     }
 *
 *     SPARED_PLUGIN(
 *         SPARED_NAME("acme-smallest") SPARED_VERSION("1.0") SPARED_VENDOR("acme")
 *         SPARED_SUMMARY("logs the roles of groups") SPARED_ROLES,
 *         .role = role);
 *
 *     cc -shared -fPIC -fvisibility=hidden -Iabi/c -o acme-smallest.so smallest.c abi/c/spared_plugin.c -lpthread
 *
 * Life of a plugin, which has its process to itself (each arrow is a call, all on one thread):
 *
 *     create -> configure -> start -> role -> ... -> stop -> destroy
 *                  ^                    |
 *                  +---- reload --------+   between start and stop, in any order: fd, timer, woken,
 *                                           query, drain, settle, role, and those of other parts
 *
 *  - All callbacks run on the thread that the worker began with, and never at once. Functions marked
 *    [any] may be called from any thread, the others in callbacks alone.
 *  - Return from a callback within 50 ms: the plugin's own timers wait for it. A plugin that does not
 *    answer for 3 s is killed.
 *  - What a callback gets is valid until it returns; what a function gets is copied.
 *  - A callback that is NULL is not called. Only callbacks of a part that the note names are called:
 *    SPARED_ROLES, SPARED_TRANSFER, SPARED_QUERY, SPARED_INTERFACES, SPARED_PEER, SPARED_LOCAL, SPARED_WATCH,
 *    SPARED_DOCUMENTS.
 *  - No function waits for the daemon. What it refuses is logged, and so is why a function returns -EINVAL,
 *    or -EPERM on another thread.
 *  - Unknown roles are backup, unknown verdicts a warning.
 *
 * abi/RULES.md has the rules of order and time. Election and signatures are not here: no vendor needs them.
 */
#ifndef SPARED_PLUGIN_H
#define SPARED_PLUGIN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0: done; negative: -errno, down to -4095; positive: one of these, from callbacks that may return it. */
typedef int32_t spared_status;
#define SPARED_PENDING 1   /* start, stop, drain, settle, role, query: spared_done() follows */
#define SPARED_RESTART 2   /* configure: valid, but only a new process can use it */
#define SPARED_ATTENTION 3 /* query, and its spared_done(): sparectl exits with 1 */
#define SPARED_BROKEN (-ENOTRECOVERABLE) /* any: nothing is called again, and the process is restarted */

/* Text: UTF-8, not NUL-terminated. */
struct spared_str {
	const char *ptr;
	size_t len;
};

struct spared_bytes {
	const uint8_t *ptr;
	size_t len;
};

/* A C string as text; NULL is the empty one. */
static inline struct spared_str spared_text(const char *text)
{
	struct spared_str str = { text, text ? strlen(text) : 0 };
	return str;
}

/* ---- the note: texts that stand one behind the other ----------------------------- */

#define SPARED_NAME(name) "name = " name "\n"          /* [a-z][a-z0-9-]*, with a vendor's part; the file is NAME.so */
#define SPARED_VERSION(version) "version = " version "\n"
#define SPARED_VENDOR(vendor) "vendor = " vendor "\n"
#define SPARED_SUMMARY(summary) "summary = " summary "\n" /* one line, lower case, no full stop */
#define SPARED_CAPABILITY(name) "capability = " name "\n" /* as "net_admin" */
#define SPARED_REALTIME "flag = realtime\n"
#define SPARED_FILES "flag = files\n"                  /* reads and runs files that its configuration names */
#define SPARED_WRITE "flag = write\n"                  /* with FILES: also writes them */
#define SPARED_ROOT "flag = root\n"                    /* runs as root; such a plugin has no peer */
#define SPARED_ASIDE "flag = aside\n"                  /* no traffic depends on it */
#define SPARED_PATH(path) "path = " path "\n"          /* may be read; after a leading + also written */
#define SPARED_CALLS(group) "calls = " group "\n"      /* "basic", "files", "sockets", "programs" */
#define SPARED_WIRE(versions) "wire = " versions "\n"  /* of its messages to the peer plugin: "1-2"; "1-1" for one */
#define SPARED_PARTNER(name) "partner = " name "\n"    /* with SPARED_LOCAL; they are numbered from 0 on */
#define SPARED_ASKS(word, usage, summary) "asks = " word "\t" usage "\t" summary "\n"
#define SPARED_CHANGES(word, usage, summary) "changes = " word "\t" usage "\t" summary "\n"

#define SPARED_ROLES "part = roles\n"
#define SPARED_TRANSFER "part = transfer\n"
#define SPARED_QUERY "part = query\n"
#define SPARED_INTERFACES "part = interfaces\n"
#define SPARED_PEER "part = peer\n"
#define SPARED_LOCAL "part = local\n"
#define SPARED_WATCH "part = watch\n"
#define SPARED_DOCUMENTS "part = documents\n" /* reads what read-only users of sparectl may */

/* ---- what callbacks get ----------------------------------------------------------- */

#define SPARED_BACKUP 1u
#define SPARED_ACTIVE 2u
#define SPARED_FAULT 3u /* backup, and cannot become active */

/* A group's role. The newest wins: it ends an older one of the group that is pending. */
struct spared_role {
	struct spared_str group, why; /* why is the sentence of `sparectl why` */
	uint32_t role, before;        /* before: that was told last for the group; 0: none */
	int maintenance, planned;     /* this node is in maintenance; moved by a switchover */
	uint64_t deadline_ns;         /* monotonic; afterwards the daemon goes on without the plugin */
	uint64_t epoch;               /* greater for the newer of two roles of a group */
	uint32_t cause;               /* kind of why, as numbered in abi/contract.cddl */
};

#define SPARED_FD_READ 0x1u
#define SPARED_FD_WRITE 0x4u
#define SPARED_FD_ERROR 0x8u
#define SPARED_FD_HANGUP 0x10u

#define SPARED_PING_IPV4 7u
#define SPARED_PING_IPV6 8u

struct spared_address {
	uint8_t octets[16]; /* network order; IPv4 in the first four */
	uint32_t family;    /* 4 or 6 */
	uint32_t prefix;
};

/* A socket of an interface. It is the library's, and open until an event omits it. */
struct spared_socket {
	uint32_t kind;
	int fd;
};

/* Complete state of one interface. */
struct spared_interface {
	struct spared_str name;
	int present, up, carrier;
	uint32_t index, mtu;
	uint8_t mac[6];
	const struct spared_address *addresses; /* the node's own */
	size_t address_count;
	const struct spared_socket *sockets;
	size_t socket_count;
};

/* Verdicts, as sparectl status prints them. */
enum { SPARED_OK, SPARED_WARNING, SPARED_UNKNOWN, SPARED_ALONE, SPARED_CONFLICT, SPARED_NONE };

struct spared_group_status {
	uint32_t verdict, role; /* role of this node; 0 without a group */
	struct spared_str group, headline;
};

struct spared_finding {
	struct spared_str id, node, thing, text, todo, since;
};

/* The same as sparectl status. */
struct spared_verdict {
	uint32_t verdict, quality; /* the worst of all groups; of this node, 0-100 */
	int ready, link_up;
	struct spared_str node, peer;
	const struct spared_group_status *groups;
	size_t group_count;
	const struct spared_finding *findings;
	size_t finding_count;
	uint32_t left_out;
};

/* A line of sparectl events. */
struct spared_event {
	uint32_t level;
	uint64_t lost; /* events before this one that were not told */
	struct spared_str at, kind, group, reason, text;
};

/* ---- the plugin -------------------------------------------------------------------- */

struct spared_plugin {
	/* Allocates an instance, which all other callbacks get. No input or output. */
	spared_status (*create)(void **self);
	void (*destroy)(void *self);
	/* Reads the configuration (spared_config_get() and others): before start, and at each reload. With
	 * check it has no effect. Faults are told by spared_fail(); after a failure the old one is in force. */
	spared_status (*configure)(void *self, int check);
	spared_status (*start)(void *self, uint64_t token); /* may be pending for 90 s */
	spared_status (*stop)(void *self, uint64_t token);  /* within 1 s, or 3 s if it is pending */
	spared_status (*fd)(void *self, int fd, uint32_t events);
	spared_status (*timer)(void *self, uint32_t id);
	spared_status (*woken)(void *self);
	/* roles */
	spared_status (*role)(void *self, uint64_t token, const struct spared_role *event);
	/* transfer: send all that you have; apply all that you received */
	spared_status (*drain)(void *self, uint64_t token, uint64_t deadline_ns);
	spared_status (*settle)(void *self, uint64_t token, uint64_t deadline_ns);
	/* query: `sparectl NAME ARGV...`; rows by spared_put_text() and others */
	spared_status (*query)(void *self, uint64_t token, const struct spared_str *argv, size_t argc);
	/* interfaces */
	spared_status (*changed)(void *self, const struct spared_interface *interface);
	/* peer: wire is the highest version that both have; messages are untrusted bytes */
	spared_status (*up)(void *self, uint32_t wire);
	spared_status (*down)(void *self);
	spared_status (*message)(void *self, struct spared_bytes message);
	spared_status (*writable)(void *self); /* once after -EAGAIN */
	/* local */
	spared_status (*partner_up)(void *self, size_t partner);
	spared_status (*partner_down)(void *self, size_t partner);
	spared_status (*partner_message)(void *self, size_t partner, struct spared_bytes message);
	spared_status (*partner_writable)(void *self, size_t partner);
	/* watch */
	spared_status (*status)(void *self, const struct spared_verdict *pair);
	spared_status (*event)(void *self, const struct spared_event *event);
	/* documents: a JSON text as `sparectl --json` prints it; with a negative status there is none */
	spared_status (*document)(void *self, uint64_t ticket, spared_status status, struct spared_str text);
};

/* Runs a plugin until the daemon ends it; what spared_plugin_main() returns. */
int spared_run(int socket, const char *note, const struct spared_plugin *plugin);

#define SPARED_EXPORT __attribute__((visibility("default")))
#ifdef __cplusplus
#define SPARED_C extern "C"
#else
#define SPARED_C
#endif
#if defined(__has_attribute)
#if __has_attribute(retain)
#define SPARED_KEPT used, retain
#endif
#endif
#ifndef SPARED_KEPT
#define SPARED_KEPT used
#endif

/* Defines the note and spared_plugin_main(): SPARED_PLUGIN(note, .create = create, ...). */
#define SPARED_PLUGIN(note_text, ...) \
	extern SPARED_EXPORT const struct spared_note { \
		uint32_t name_size, text_size, type; \
		char name[8]; \
		char text[sizeof("contract = 1\n" note_text)]; \
	} spared_plugin_note; \
	__attribute__((section(".note.spared"), aligned(4), SPARED_KEPT)) \
	const struct spared_note spared_plugin_note = { \
		7, sizeof("contract = 1\n" note_text) - 1, 1, "spared", "contract = 1\n" note_text }; \
	SPARED_C SPARED_EXPORT int spared_plugin_main(int socket); \
	int spared_plugin_main(int socket) \
	{ \
		static const struct spared_plugin plugin = { __VA_ARGS__ }; \
		return spared_run(socket, spared_plugin_note.text, &plugin); \
	} \
	extern int spared_plugin_takes_the_semicolon

/* ---- functions --------------------------------------------------------------------- */

enum { SPARED_ERROR = 1, SPARED_WARN, SPARED_INFO, SPARED_DEBUG, SPARED_TRACE, SPARED_EVENT };

/* [any] Logs one line. EVENT is for what an administrator wants to find in `sparectl events`. */
void spared_log(uint32_t level, struct spared_str text);
__attribute__((format(printf, 2, 3)))
void spared_logf(uint32_t level, const char *format, ...);
/* [any] Has woken() called, once for any number of calls. */
void spared_wake(void);

/* Why the callback fails: of a configuration with the path of the key, "group.0.name"; else key is NULL. */
spared_status spared_fail(const char *key, struct spared_str why);

enum {
	SPARED_CONFIG_TEXT = 1, SPARED_CONFIG_INTEGER, SPARED_CONFIG_FLOAT, SPARED_CONFIG_BOOLEAN,
	SPARED_CONFIG_ARRAY = 6, SPARED_CONFIG_TABLE
};

/* Value of a scalar as text: "lan1", "-3", "true". Parts of a key have dots between them, positions in
 * arrays are numbers: "group.0.name"; a backslash stands before a dot or a backslash within a part. A
 * table by node name stands for this node's value. -ENOENT: absent; -EISDIR: a table or an array.
 * Keys of the daemon: "@node"; "@nodes.0", "@links.0" and on; "@peer"; "@state", the plugin's own folder. */
spared_status spared_config_get(const char *key, struct spared_str *out);
spared_status spared_config_type(const char *key, uint32_t *type);
/* Length of an array. */
spared_status spared_config_len(const char *key, uint32_t *length);
/* Name of the index-th key of a table, by name, to refuse unknown ones; "" is the top of the file. */
spared_status spared_config_keys(const char *key, uint32_t index, struct spared_str *name);

enum { SPARED_SCOPE_PAIR = 1, SPARED_SCOPE_NODE, SPARED_SCOPE_LOCAL, SPARED_SCOPE_SECRET };

/* In configure: how a key, and all below it, compares between the nodes. The default is PAIR: equal. */
spared_status spared_declare(const char *key, uint32_t scope);

/* Has fd() called while the descriptor is ready for events; 0 ends that, before it is closed. */
spared_status spared_watch_fd(int fd, uint32_t events);
/* Has timer() called once, at a monotonic time; 0 cancels that. */
spared_status spared_timer(uint32_t id, uint64_t at_ns);
uint64_t spared_now(void);
/* Completes a callback that has returned SPARED_PENDING, or is about to. */
spared_status spared_done(uint64_t token, spared_status status);

#define SPARED_ROW_NUMBER 0x0u
#define SPARED_ROW_BOOL 0x1u
#define SPARED_ROW_NS 0x2u
#define SPARED_ROW_BYTES 0x3u
#define SPARED_ROW_COUNTER 0x100u /* with one of the others: only rises */

/* Rows of an answer; keys are like "session.17.user". -EMSGSIZE: it is full. */
spared_status spared_put_text(uint64_t token, const char *key, struct spared_str value);
spared_status spared_put_u64(uint64_t token, const char *key, uint32_t kind, uint64_t value);
spared_status spared_put_i64(uint64_t token, const char *key, uint32_t kind, int64_t value);

#define SPARED_MESSAGE_MAX 65536u

/* Queues a message to the peer plugin. -EAGAIN: full, writable() follows; -ENOTCONN; -EMSGSIZE. */
spared_status spared_send(struct spared_bytes message);
/* Whether this node has all that a failover to it needs. It is "no" until told, after each up() and down();
   before the first up() nothing is needed. */
void spared_in_sync(int yes, struct spared_str why);
/* The same as spared_send() to a partner. */
spared_status spared_send_partner(size_t partner, struct spared_bytes message);

#define SPARED_CHECK_UNKNOWN 0xffffffffu /* not known yet; counts as good */
#define SPARED_CHECK_LOSES 0xfffffffeu   /* works here, and a failover loses it; counts as good */

/* A check of this node: weight 0-9999, 0 if the node is no less fit; state 0 (failed) to 100 (good). */
spared_status spared_report(const char *name, uint32_t weight, uint32_t state, struct spared_str why);
spared_status spared_forget(const char *name);

#define SPARED_SOCKETS_NONE 0x0u
#define SPARED_SOCKETS_PING 0x4u

/* Has changed() called for an interface, now and at each change, also if it does not exist yet. */
spared_status spared_follow(const char *interface, uint32_t sockets);
spared_status spared_unfollow(const char *interface);

#define SPARED_WATCH_STATUS 0x1u
#define SPARED_WATCH_EVENTS 0x2u

/* What status() and event() are called for, in place of an earlier request. */
spared_status spared_watch(uint32_t what);

#define SPARED_DOCUMENT_STATUS 1u
#define SPARED_DOCUMENT_WHY 2u
#define SPARED_DOCUMENT_HISTORY 3u
#define SPARED_DOCUMENT_EVENTS 4u
#define SPARED_DOCUMENT_METRICS 5u /* of this node alone, without asking the peer */
#define SPARED_DOCUMENT_MAX 8388608u

/* Asks for a document: document() follows with the ticket. One at a time, at most ten in a second. */
spared_status spared_document(uint64_t ticket, uint32_t what);

struct spared_address_claim {
	struct spared_str interface;
	struct spared_address address;
	int is_source; /* source address of the node's own packets to that network */
};

/* Addresses that only the active node of a group has, in place of those before; needs net_admin. */
spared_status spared_add(const char *group, const struct spared_address_claim *addresses, size_t count);

#ifdef __cplusplus
}
#endif

#endif
