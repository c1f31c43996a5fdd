/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Accounting sessions, the same on both nodes: how a plugin in C replicates a table, as the SDK
 * does for one in Rust.
 *
 *     sparectl sessions start 17f2 anna    # on the active node; the other one knows it
 *
 * One flag does most of it: a record is unsent while the peer plugin does not have it. A change
 * marks its record, a snapshot marks all, and send_unsent() sends what is marked until the channel
 * is full; writable() goes on. What was changed while the peer was away is still marked when it
 * comes back.
 *
 * A worker starts with an empty table, also on the active node. So it is not the active node that
 * sends the snapshot, but the one that knows of more changes. A receiver takes what is not in the
 * snapshot for removed, unless it is unsent.
 *
 *     cc -shared -fPIC -fvisibility=hidden -I.. -o sessions.so sessions.c ../spared_plugin.c
 */
#include <stdio.h>
#include <stdlib.h>

#include "spared_plugin.h"

#define SESSIONS_MAX 1000
#define TEXT_MAX 32

enum state { FREE, KEPT, REMOVED }; /* REMOVED: only while the removal is unsent */

struct session {
	enum state state;
	int unsent;
	int in_snapshot;
	char id[TEXT_MAX + 1], user[TEXT_MAX + 1];
};

struct sessions {
	char node[65];
	int is_active, is_up;
	int owes_end;         /* of the snapshot that this node sends */
	int receives;         /* a snapshot */
	uint64_t changes;     /* that this node knows of */
	uint64_t drain;       /* token of a pending drain, or 0 */
	uint32_t count;
	struct session table[SESSIONS_MAX];
};

/* A message: bytes alone, so that both nodes read the same. */
enum kind { HELLO = 1, RECORD, REMOVAL, END };

struct message {
	uint8_t kind;
	uint8_t changes[8];      /* that the sender knows of */
	char id[TEXT_MAX + 1];   /* HELLO: the node's name, cut */
	char user[TEXT_MAX + 1];
};

/* ---- the table */

static struct session *find(struct sessions *sessions, const char *id)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->table[i];

		if (session->state != FREE && strcmp(session->id, id) == 0)
			return session;
	}
	return NULL;
}

static struct session *find_room(struct sessions *sessions)
{
	struct session *removed = NULL;

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->table[i];

		if (session->state == FREE)
			return session;
		if (session->state == REMOVED)
			removed = session;
	}
	return removed;
}

/* NULL: the table is full. */
static struct session *keep(struct sessions *sessions, const char *id, const char *user)
{
	struct session *session = find(sessions, id);

	if (!session)
		session = find_room(sessions);
	if (!session)
		return NULL;
	sessions->count += session->state != KEPT;
	session->state = KEPT;
	snprintf(session->id, sizeof(session->id), "%s", id);
	snprintf(session->user, sizeof(session->user), "%s", user);
	return session;
}

static void drop(struct sessions *sessions, struct session *session, enum state state)
{
	sessions->count -= session->state == KEPT;
	session->state = state;
}

/* A node without room is less fit: its peer gets the role. */
static void report(struct sessions *sessions)
{
	char why[64];

	snprintf(why, sizeof(why), "%u of %d sessions", sessions->count, SESSIONS_MAX);
	spared_report("room", 100, sessions->count < SESSIONS_MAX ? 100 : 0, spared_text(why));
}

static spared_status refuse(spared_status status, const char *why)
{
	spared_fail(NULL, spared_text(why));
	return status;
}

/* ---- the peer plugin */

static spared_status tell(struct sessions *sessions, enum kind kind, const char *id, const char *user)
{
	struct message message = { .kind = (uint8_t)kind };
	struct spared_bytes bytes = { (const uint8_t *)&message, sizeof(message) };

	for (int i = 0; i < 8; i++)
		message.changes[i] = (uint8_t)(sessions->changes >> (8 * i));
	snprintf(message.id, sizeof(message.id), "%s", id);
	snprintf(message.user, sizeof(message.user), "%s", user);
	return spared_send(bytes);
}

/* Until all is sent, or the channel is full: then writable() follows. */
static void send_unsent(struct sessions *sessions)
{
	if (!sessions->is_up || sessions->receives)
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->table[i];
		enum kind kind = session->state == KEPT ? RECORD : REMOVAL;

		if (!session->unsent)
			continue;
		if (tell(sessions, kind, session->id, session->user))
			return;
		session->unsent = 0;
		if (session->state == REMOVED)
			session->state = FREE;
	}
	if (sessions->owes_end && tell(sessions, END, "", ""))
		return;
	sessions->owes_end = 0;
	if (sessions->drain)
		spared_done(sessions->drain, 0);
	sessions->drain = 0;
}

static int has_unsent(const struct sessions *sessions)
{
	int unsent = sessions->owes_end;

	for (int i = 0; i < SESSIONS_MAX; i++)
		unsent |= sessions->table[i].unsent;
	return unsent;
}

static void report_in_sync(struct sessions *sessions)
{
	spared_in_sync(!sessions->receives, spared_text(sessions->receives ? "receives sessions" : ""));
}

static spared_status up(void *self, uint32_t wire)
{
	struct sessions *sessions = self;

	(void)wire; /* there is only one version yet */
	sessions->is_up = 1;
	sessions->receives = 1; /* until the peer has said what it knows */
	report_in_sync(sessions);
	return tell(sessions, HELLO, sessions->node, "");
}

static spared_status down(void *self)
{
	struct sessions *sessions = self;

	sessions->is_up = 0;
	sessions->owes_end = 0;
	if (sessions->drain) /* nobody is left to send it to */
		spared_done(sessions->drain, -ENOTCONN);
	sessions->drain = 0;
	report_in_sync(sessions);
	sessions->receives = 0;
	return 0;
}

/* Both nodes compare the same, so that one sends its snapshot and the other receives it. */
static void handle_hello(struct sessions *sessions, const char *node, uint64_t changes)
{
	int order = strncmp(sessions->node, node, TEXT_MAX);
	int sends = sessions->changes > changes || (sessions->changes == changes && order > 0);

	sessions->receives = !sends;
	sessions->owes_end = sends;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->table[i];

		session->in_snapshot = 0;
		session->unsent |= sends && session->state == KEPT;
	}
	report_in_sync(sessions);
	send_unsent(sessions);
}

/* A change, or a part of the snapshot. What is unsent here is newer. */
static void handle_record(struct sessions *sessions, const struct message *message)
{
	struct session *session = find(sessions, message->id);

	if (session && session->unsent)
		return;
	if (message->kind == REMOVAL) {
		if (session)
			drop(sessions, session, FREE);
		return;
	}
	session = keep(sessions, message->id, message->user);
	if (session)
		session->in_snapshot = 1;
	else
		spared_logf(SPARED_WARN, "no room for session %s", message->id);
}

static void handle_end(struct sessions *sessions)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *session = &sessions->table[i];

		if (session->state == KEPT && !session->in_snapshot && !session->unsent)
			drop(sessions, session, FREE);
	}
	sessions->receives = 0;
	report_in_sync(sessions);
	send_unsent(sessions);
}

/* The bytes come from another machine. */
static spared_status message(void *self, struct spared_bytes bytes)
{
	struct sessions *sessions = self;
	struct message message;
	uint64_t changes = 0;

	if (bytes.len != sizeof(message))
		return -EPROTO;
	memcpy(&message, bytes.ptr, sizeof(message));
	if (message.id[TEXT_MAX] || message.user[TEXT_MAX])
		return -EPROTO;
	for (int i = 0; i < 8; i++)
		changes |= (uint64_t)message.changes[i] << (8 * i);
	switch (message.kind) {
	case HELLO:
		handle_hello(sessions, message.id, changes);
		break;
	case RECORD:
	case REMOVAL:
		handle_record(sessions, &message);
		break;
	case END:
		handle_end(sessions);
		break;
	default:
		return -EPROTO;
	}
	if (changes > sessions->changes)
		sessions->changes = changes;
	report(sessions);
	return 0;
}

static spared_status writable(void *self)
{
	send_unsent(self);
	return 0;
}

static spared_status drain(void *self, uint64_t token, uint64_t deadline_ns)
{
	struct sessions *sessions = self;

	(void)deadline_ns;
	if (!sessions->is_up || !has_unsent(sessions))
		return 0;
	if (sessions->receives)
		return refuse(-EBUSY, "the peer's sessions are not here yet");
	sessions->drain = token;
	send_unsent(sessions);
	return SPARED_PENDING; /* done() has come already if all is sent */
}

/* ---- users */

static spared_status change(struct sessions *sessions, const char *id, const char *user)
{
	struct session *session = user ? keep(sessions, id, user) : find(sessions, id);

	if (!session || (!user && session->state != KEPT))
		return refuse(user ? -ENOSPC : -ENOENT, user ? "no room" : "no such session");
	if (!user)
		drop(sessions, session, REMOVED);
	session->unsent = 1;
	sessions->changes++;
	send_unsent(sessions);
	report(sessions);
	return 0;
}

static spared_status list(struct sessions *sessions, uint64_t token)
{
	char key[TEXT_MAX + 16];

	spared_put_u64(token, "sessions", SPARED_ROW_NUMBER, sessions->count);
	spared_put_u64(token, "changes", SPARED_ROW_NUMBER, sessions->changes);
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct session *session = &sessions->table[i];

		snprintf(key, sizeof(key), "session.%s", session->id);
		if (session->state == KEPT &&
		    spared_put_text(token, key, spared_text(session->user)))
			break; /* the answer is full, and the user is told */
	}
	return 0;
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)
{
	struct sessions *sessions = self;
	char words[3][TEXT_MAX + 1] = { "" };

	for (size_t i = 0; i < argc; i++) {
		if (i > 2 || argv[i].len > TEXT_MAX)
			return refuse(-EINVAL, "at most 3 words of 32 bytes");
		memcpy(words[i], argv[i].ptr, argv[i].len);
	}
	if (argc == 0)
		return list(sessions, token);
	if (strcmp(words[0], "status") == 0)
		return spared_put_u64(token, "sessions", SPARED_ROW_NUMBER, sessions->count);
	if (!sessions->is_active)
		return refuse(-EBUSY, "this node is not active");
	if (strcmp(words[0], "start") == 0 && argc == 3)
		return change(sessions, words[1], words[2]);
	if (strcmp(words[0], "stop") == 0 && argc == 2)
		return change(sessions, words[1], NULL);
	return refuse(-EINVAL, "usage: sparectl sessions [start ID USER | stop ID]");
}

/* ---- the daemon */

static spared_status create(void **self)
{
	*self = calloc(1, sizeof(struct sessions));
	return *self ? 0 : -ENOMEM;
}

static void destroy(void *self)
{
	free(self);
}

static spared_status configure(void *self, int check)
{
	struct sessions *sessions = self;
	struct spared_str text;

	if (spared_config_keys("", 0, &text) == 0) {
		char key[TEXT_MAX + 1];

		snprintf(key, sizeof(key), "%.*s", (int)text.len, text.ptr);
		spared_fail(key, spared_text("unknown key, there are none"));
		return -EINVAL;
	}
	if (!check && spared_config_get("@node", &text) == 0)
		snprintf(sessions->node, sizeof(sessions->node), "%.*s", (int)text.len, text.ptr);
	return 0;
}

static spared_status start(void *self, uint64_t token)
{
	(void)token;
	report(self);
	return 0;
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	struct sessions *sessions = self;

	(void)token;
	sessions->is_active = event->role == SPARED_ACTIVE; /* of its one group: see follow */
	return 0;
}

SPARED_PLUGIN(
	SPARED_NAME("sessions") SPARED_VERSION("1.0") SPARED_VENDOR("spared")
	SPARED_SUMMARY("accounting sessions that both nodes know")
	SPARED_CALLS("basic") SPARED_WIRE("1-1") SPARED_ROLES SPARED_TRANSFER SPARED_PEER SPARED_QUERY
	SPARED_ASKS("", "", "lists all sessions")
	SPARED_ASKS("status", "", "counts sessions, for sparectl status")
	SPARED_CHANGES("start", "ID USER", "begins a session")
	SPARED_CHANGES("stop", "ID", "ends a session"),
	.create = create,
	.destroy = destroy,
	.configure = configure,
	.start = start,
	.role = role,
	.drain = drain,
	.query = query,
	.up = up,
	.down = down,
	.message = message,
	.writable = writable);
