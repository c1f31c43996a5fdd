/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * spared_plugin.c - the loop of a plugin in C; see spared_plugin.h. Compile it into the plugin.
 *
 * Messages are CBOR (RFC 8949), one in a record of the daemon's socket; abi/contract.cddl lists them. In each
 * round of the loop descriptors come first, then timers, then records of channels, then messages of the
 * daemon: a plugin that was stopped reads what others sent before it acts on their silence.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "spared_plugin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX 196608u /* of a message */
#define SPARE (SPARED_MESSAGE_MAX + 1)
#define DESCRIPTORS_MAX 16
#define DEPTH_MAX 48 /* a configuration may have 32 */
#define TIMERS_MAX 4096
#define WATCHES_MAX 4096
#define PARTNERS_MAX 8
#define QUERIES_MAX 64
#define ANSWER_MAX 65536u
#define FAILURES_MAX 200
#define FAILURE_TEXT_MAX 1024u
#define HELD_MAX 1024
#define MESSAGES_PER_ROUND 16
#define RECORDS_PER_ROUND 32
#define ROUND_NS 1000000u
#define CALLBACK_NS 50000000u
#define HOUR_NS 3600000000000u
#define BROKEN 70 /* exit status */

/* Messages that the daemon does not read wait here; later ones are lost, and counted. */
#define QUEUE_MAX 1024
#define QUEUE_MAX_OF_LOG 512
#define QUEUE_BYTES (512u * 1024u)
#define LOG_BURST 400
#define LOG_PER_S 100u
#define LINE_MAX_BYTES 4096u

enum to { TO_CONFIGURE = 1, TO_START, TO_STOP, TO_DRAIN, TO_SETTLE, TO_ROLE, TO_QUERY, TO_INTERFACE,
          TO_CHANNEL = 10, TO_PARTNER, TO_STATUS, TO_EVENT, TO_ANSWER, TO_PING, TO_ROOTS_FILE, TO_CHECK_ONLY,
          TO_DOCUMENT };
enum from { FROM_RETURNED = 2, FROM_PENDING, FROM_LOG, FROM_CHECK, FROM_FORGET, FROM_IN_SYNC,
            FROM_CALLBACK, FROM_SCOPES, FROM_PONG, FROM_DOCUMENT, CALL_FOLLOW = 0x100, CALL_UNFOLLOW,
            CALL_ADD = 0x106, CALL_WATCH };
enum channel { UP = 1, DOWN, MESSAGE };

/* ---- memory ------------------------------------------------------------------------ */

/* There is no way on without memory: the daemon restarts the process. */
static void *room(void *old, size_t size)
{
	void *new = realloc(old, size ? size : 1);

	if (!new)
		_exit(BROKEN);
	return new;
}

static char *copy(const char *text, size_t length)
{
	char *new = room(NULL, length + 1);

	if (length)
		memcpy(new, text, length);
	new[length] = '\0';
	return new;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- CBOR, written ----------------------------------------------------------------- */

struct writer {
	uint8_t *bytes;
	size_t length, room;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t length)
{
	if (writer->length + length > writer->room) {
		writer->room = 2 * writer->room + length + 256;
		writer->bytes = room(writer->bytes, writer->room);
	}
	if (length)
		memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
}

/* The shortest form, as RFC 8949 4.2.1 says. */
static void put_head(struct writer *writer, unsigned major, uint64_t number)
{
	uint8_t head[9];
	unsigned length = number < 24 ? 0 : number <= 0xff ? 1 : number <= 0xffff ? 2 : number <= 0xffffffff ? 4 : 8;
	unsigned code = length == 0 ? (unsigned)number : length == 1 ? 24 : length == 2 ? 25 : length == 4 ? 26 : 27;

	head[0] = (uint8_t)(major << 5 | code);
	for (unsigned at = 0; at < length; at++)
		head[1 + at] = (uint8_t)(number >> (8 * (length - 1 - at)));
	put_bytes(writer, head, 1 + length);
}

static void put_signed(struct writer *writer, int64_t number)
{
	if (number < 0)
		put_head(writer, 1, (uint64_t)(-1 - number));
	else
		put_head(writer, 0, (uint64_t)number);
}

/* Length of the character that begins there; 0 if it is none of UTF-8. */
static size_t character(const uint8_t *at, size_t left)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

	if (length > left)
		return 0;
	for (size_t next = 1; next < length; next++)
		if ((at[next] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
		return 0;
	return length;
}

/* What is no UTF-8 becomes question marks: it would be no message. */
static void put_text(struct writer *writer, struct spared_str text)
{
	const uint8_t *at = (const uint8_t *)text.ptr;

	put_head(writer, 3, text.len);
	for (size_t left = text.len; left;) {
		size_t length = character(at, left);

		put_bytes(writer, length ? (const void *)at : "?", length ? length : 1);
		at += length ? length : 1;
		left -= length ? length : 1;
	}
}

static void put_true(struct writer *writer)
{
	put_head(writer, 7, 21);
}

/* An entry of a map whose value is a text, or a number. */
static void entry_text(struct writer *writer, uint64_t key, struct spared_str text)
{
	put_head(writer, 0, key);
	put_text(writer, text);
}

static void entry_number(struct writer *writer, uint64_t key, uint64_t number)
{
	put_head(writer, 0, key);
	put_head(writer, 0, number);
}

/* A message of this kind, whose body has so many entries. */
static struct writer message_of(uint32_t kind, uint64_t entries)
{
	struct writer writer = { 0 };

	put_head(&writer, 5, 2);
	entry_number(&writer, 0, kind);
	put_head(&writer, 0, 1);
	put_head(&writer, 5, entries);
	return writer;
}

/* ---- CBOR, read -------------------------------------------------------------------- */

/* A value within a record. Nothing is copied. */
struct span {
	const uint8_t *at, *end;
};

/* Takes the head of a value; 0 if it is broken, or of no definite length. */
static int take_head(struct span *span, unsigned *major, unsigned *code, uint64_t *number)
{
	size_t length;

	if (span->at >= span->end)
		return 0;
	*major = *span->at >> 5;
	*code = *span->at & 31;
	span->at++;
	*number = *code;
	if (*code < 24)
		return 1;
	if (*code > 27)
		return 0;
	length = (size_t)1 << (*code - 24);
	if ((size_t)(span->end - span->at) < length)
		return 0;
	for (*number = 0; length; length--)
		*number = *number << 8 | *span->at++;
	return 1;
}

/* Takes a whole value; 0 if it is broken. */
static int take_value(struct span *span, unsigned depth)
{
	unsigned major, code;
	uint64_t number;

	if (depth > DEPTH_MAX || !take_head(span, &major, &code, &number))
		return 0;
	switch (major) {
	case 2:
	case 3:
		if ((uint64_t)(span->end - span->at) < number)
			return 0;
		span->at += number;
		return 1;
	case 4:
	case 5:
		if (number > (uint64_t)(span->end - span->at))
			return 0;
		for (uint64_t left = major == 5 ? 2 * number : number; left; left--)
			if (!take_value(span, depth + 1))
				return 0;
		return 1;
	case 6:
		return take_value(span, depth + 1);
	default:
		return 1;
	}
}

/* Opens a value of this major type, and says how much is in it; 0 if it is of another one. */
static int open_value(struct span *value, unsigned wanted, uint64_t *count)
{
	unsigned major, code;

	return take_head(value, &major, &code, count) && major == wanted;
}

static unsigned major_of(struct span value)
{
	return value.at < value.end ? *value.at >> 5 : 8;
}

/* Takes the next value out of an opened list or map. */
static struct span next_value(struct span *within)
{
	struct span value = *within;

	if (!take_value(within, 0))
		within->at = within->end;
	value.end = within->at;
	return value;
}

static int is_there(struct span value)
{
	return value.at < value.end;
}

static struct span entry_of(struct span map, uint64_t key)
{
	struct span found = { NULL, NULL };
	uint64_t count, number;

	if (!open_value(&map, 5, &count))
		return found;
	while (count--) {
		struct span name = next_value(&map), value = next_value(&map);

		if (open_value(&name, 0, &number) && number == key)
			found = value;
	}
	return found;
}

static uint64_t number_of(struct span map, uint64_t key)
{
	struct span value = entry_of(map, key);
	uint64_t number;

	return open_value(&value, 0, &number) ? number : 0;
}

static int flag_of(struct span map, uint64_t key)
{
	struct span value = entry_of(map, key);

	return is_there(value) && *value.at == 0xf5;
}

static struct spared_str text_in(struct span value)
{
	struct spared_str text = { "", 0 };
	uint64_t length;

	if (open_value(&value, 3, &length)) {
		text.ptr = (const char *)value.at;
		text.len = (size_t)length;
	}
	return text;
}

static struct spared_str text_of(struct span map, uint64_t key)
{
	return text_in(entry_of(map, key));
}

static int same(struct spared_str one, struct spared_str other)
{
	return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

/* ---- the plugin and its loop ------------------------------------------------------- */

struct record {
	struct record *next;
	size_t length;
	int fds[DESCRIPTORS_MAX];
	unsigned fd_count;
	uint8_t bytes[];
};

struct list {
	struct record *first, **last;
	unsigned count;
	size_t bytes;
};

enum ends { ENDS_BY_DONE, ENDS_BY_ROLE, ENDS_BY_QUERY, ENDS_START, ENDS_STOP };

/* A callback that has not ended. */
struct pending {
	struct pending *next;
	uint64_t token;
	enum ends ends;
	const char *callback;
	char *group;
	struct writer rows;
	size_t row_bytes;
	uint64_t row_count;
	int missing;
};

struct failure {
	char *key, *why;
};

struct link {
	int socket, successor; /* -1: none; the successor begins once the socket is read */
	uint64_t left;         /* bytes to read until then */
	int is_up, is_full;
	unsigned ups;
};

struct followed {
	struct followed *next;
	char *name;
	uint64_t generation;
	struct spared_socket sockets[DESCRIPTORS_MAX];
	unsigned socket_count;
};

struct timer {
	uint32_t id;
	uint64_t at_ns;
};

struct watch {
	int fd;
	uint32_t events;
};

/* The daemon's half of the contract: used by any thread. */
static struct {
	pthread_mutex_t lock;
	int socket, wake;
	int is_woken;
	struct list queue;
	uint64_t lost, lines_left, lines_since_ns, lines_dropped;
} out = { .lock = PTHREAD_MUTEX_INITIALIZER, .socket = -1, .wake = -1, .lines_left = LOG_BURST };

static struct {
	const struct spared_plugin *plugin;
	const char *note;
	void *self;
	pthread_t thread;
	int is_created, is_started, is_begun, is_gone, is_served, is_congested, only_checks, is_configuring;
	int end; /* -1: it goes on; else the exit status */
	int epoll, timer;
	uint64_t armed_ns;
	struct timer timers[TIMERS_MAX];
	unsigned timer_count;
	struct watch watches[WATCHES_MAX];
	unsigned watch_count;
	struct pending *pending;
	struct { uint64_t token; spared_status status; int is_due; } stopped;
	struct failure failures[FAILURES_MAX];
	unsigned failure_count;
	struct list held, inbox;
	struct link peer, partners[PARTNERS_MAX];
	char *partner_names[PARTNERS_MAX];
	unsigned partner_count;
	struct followed *followed;
	struct { uint64_t ticket; struct writer text; } document; /* of which parts are missing */
	struct record *config, *roots; /* the record that is in force; what root's file says */
	struct writer scopes;
	uint64_t scope_count;
	char *lent[64]; /* numbers of the configuration as texts, until the callback returns */
	unsigned lent_count;
	uint64_t calls, slow_calls, slow_told_ns, begun_ns;
	uint8_t buffer[RECORD_MAX];
} loop = { .end = -1, .epoll = -1, .timer = -1, .peer = { .socket = -1, .successor = -1 } };

/* ---- messages to the daemon, from any thread ---------------------------------------- */

static void append(struct list *list, struct record *record)
{
	if (!list->first)
		list->last = &list->first;
	record->next = NULL;
	*list->last = record;
	list->last = &record->next;
	list->count++;
	list->bytes += record->length;
}

static struct record *take(struct list *list)
{
	struct record *record = list->first;

	if (record) {
		list->first = record->next;
		list->count--;
		list->bytes -= record->length;
	}
	return record;
}

static struct record *record_of(const void *bytes, size_t length)
{
	struct record *record = room(NULL, sizeof(*record) + length);

	memset(record, 0, sizeof(*record));
	record->length = length;
	if (length)
		memcpy(record->bytes, bytes, length);
	return record;
}

/* 0: the daemon does not read. A daemon that is gone is found by the loop. */
static int transmit(const void *bytes, size_t length)
{
	ssize_t sent;

	do
		sent = send(out.socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

static void flush_locked(void)
{
	while (out.queue.first && transmit(out.queue.first->bytes, out.queue.first->length))
		free(take(&out.queue));
}

static void push_locked(const void *bytes, size_t length, unsigned most, size_t most_bytes)
{
	flush_locked();
	if (!out.queue.first && transmit(bytes, length))
		return;
	if (out.queue.count < most && out.queue.bytes < most_bytes)
		append(&out.queue, record_of(bytes, length));
	else
		out.lost++;
}

static void kick(void)
{
	uint64_t one = 1;

	if (write(out.wake, &one, sizeof(one)) < 0)
		return; /* it is set already */
}

static void unlock(void)
{
	int waits = out.queue.first != NULL;

	pthread_mutex_unlock(&out.lock);
	if (waits)
		kick();
}

static void push_line_locked(uint32_t level, struct spared_str text)
{
	struct writer line = message_of(FROM_LOG, 2);

	entry_number(&line, 0, level);
	entry_text(&line, 1, text);
	push_locked(line.bytes, line.length, QUEUE_MAX_OF_LOG, QUEUE_BYTES);
	free(line.bytes);
}

/* Sends a message and frees it. An answer is never left out for its size. */
static void tell(struct writer message, int is_answer)
{
	if (message.length > RECORD_MAX) {
		spared_log(SPARED_ERROR, spared_text("a message to the daemon is too long"));
	} else {
		pthread_mutex_lock(&out.lock);
		push_locked(message.bytes, message.length, QUEUE_MAX, is_answer ? SIZE_MAX : QUEUE_BYTES);
		unlock();
	}
	free(message.bytes);
}

/* Whether nothing waits. */
static int flush(void)
{
	char text[80];
	int is_empty;

	pthread_mutex_lock(&out.lock);
	flush_locked();
	if (!out.queue.first && out.lost) {
		snprintf(text, sizeof(text), "%" PRIu64 " messages were lost while the daemon did not read", out.lost);
		out.lost = 0;
		push_line_locked(SPARED_ERROR, spared_text(text));
	}
	is_empty = !out.queue.first;
	pthread_mutex_unlock(&out.lock);
	return is_empty;
}

static int may_log_locked(void)
{
	uint64_t now_ns = monotonic_ns(), line_ns = 1000000000u / LOG_PER_S, grown;

	if (!out.lines_since_ns)
		out.lines_since_ns = now_ns;
	grown = (now_ns - out.lines_since_ns) / line_ns;
	out.lines_since_ns += grown * line_ns;
	out.lines_left = out.lines_left + grown > LOG_BURST ? LOG_BURST : out.lines_left + grown;
	if (!out.lines_left)
		return 0;
	out.lines_left--;
	return 1;
}

/* Up to a limit, and not within a character. */
static struct spared_str cut(struct spared_str text, size_t most)
{
	if (text.len > most) {
		text.len = most;
		while (text.len && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	return text;
}

void spared_log(uint32_t level, struct spared_str text)
{
	char dropped[64];

	text = cut(text, LINE_MAX_BYTES);
	while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' '))
		text.len--;
	pthread_mutex_lock(&out.lock);
	if (may_log_locked()) {
		if (out.lines_dropped) {
			snprintf(dropped, sizeof(dropped), "%" PRIu64 " log lines suppressed", out.lines_dropped);
			out.lines_dropped = 0;
			push_line_locked(SPARED_WARN, spared_text(dropped));
		}
		push_line_locked(level, text);
	} else {
		out.lines_dropped++;
	}
	unlock();
}

void spared_logf(uint32_t level, const char *format, ...)
{
	char line[LINE_MAX_BYTES + 1];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	spared_log(level, spared_text(line));
}

void spared_wake(void)
{
	int was_woken;

	pthread_mutex_lock(&out.lock);
	was_woken = out.is_woken;
	out.is_woken = 1;
	pthread_mutex_unlock(&out.lock);
	if (!was_woken)
		kick();
}

static int take_woken(void)
{
	uint64_t count;
	int was_woken;

	if (read(out.wake, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&out.lock);
	was_woken = out.is_woken;
	out.is_woken = 0;
	pthread_mutex_unlock(&out.lock);
	return was_woken;
}

/* Refuses a call of the plugin, and says why. */
__attribute__((format(printf, 2, 3)))
static spared_status refuse(const char *function, const char *format, ...)
{
	char why[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	spared_logf(SPARED_ERROR, "%s(): %s", function, why);
	return -EINVAL;
}

static int is_other_thread(const char *function)
{
	if (pthread_equal(pthread_self(), loop.thread))
		return 0;
	spared_logf(SPARED_ERROR, "called %s() from a thread other than the loop's", function);
	return 1;
}

/* Most functions are for the loop's thread. */
#define LOOP_ONLY(function) \
	do \
		if (is_other_thread(function)) \
			return -EPERM; \
	while (0)

/* ---- failures and pending callbacks -------------------------------------------------- */

spared_status spared_fail(const char *key, struct spared_str why)
{
	struct spared_str of = cut(spared_text(key), FAILURE_TEXT_MAX);

	LOOP_ONLY("fail");
	why = cut(why, FAILURE_TEXT_MAX);
	if (loop.failure_count < FAILURES_MAX) {
		struct failure *failure = &loop.failures[loop.failure_count++];

		failure->key = copy(of.ptr, of.len);
		failure->why = copy(why.ptr, why.len);
	}
	return 0;
}

static void forget_failures(void)
{
	while (loop.failure_count) {
		struct failure *failure = &loop.failures[--loop.failure_count];

		free(failure->key);
		free(failure->why);
	}
}

/* Logs those that no answer carries. */
static void log_failures(const char *callback)
{
	for (unsigned at = 0; at < loop.failure_count; at++) {
		const struct failure *it = &loop.failures[at];

		spared_logf(SPARED_WARN, "%s failed: %s%s%s", callback, it->key, *it->key ? ": " : "", it->why);
	}
	forget_failures();
}

static struct pending **find(uint64_t token)
{
	struct pending **at = &loop.pending;

	while (*at && (*at)->token != token)
		at = &(*at)->next;
	return at;
}

static struct pending *oldest(enum ends ends, struct spared_str group, unsigned *count)
{
	struct pending *found = NULL;

	*count = 0;
	for (struct pending *it = loop.pending; it; it = it->next) {
		if (it->ends != ends || (ends == ENDS_BY_ROLE && !same(spared_text(it->group), group)))
			continue;
		++*count;
		if (!found || it->token < found->token)
			found = it;
	}
	return found;
}

static void expect(uint64_t token, const char *callback, enum ends ends, struct spared_str group)
{
	struct pending *it = room(NULL, sizeof(*it));

	memset(it, 0, sizeof(*it));
	it->token = token;
	it->ends = ends;
	it->callback = callback;
	it->group = copy(group.ptr, group.len);
	it->next = loop.pending;
	loop.pending = it;
}

static void put_failures(struct writer *message)
{
	put_head(message, 4, loop.failure_count);
	for (unsigned at = 0; at < loop.failure_count; at++) {
		put_head(message, 5, 2);
		entry_text(message, 0, spared_text(loop.failures[at].key));
		entry_text(message, 1, spared_text(loop.failures[at].why));
	}
	forget_failures();
}

static void begin_followed(spared_status status)
{
	loop.is_started = status >= 0;
	if (status < 0) {
		loop.is_begun = 0;
		return;
	}
	/* what was held comes before what the daemon sends next */
	while (loop.inbox.first)
		append(&loop.held, take(&loop.inbox));
	loop.inbox = loop.held;
	if (loop.inbox.first == NULL)
		loop.inbox.last = &loop.inbox.first;
	memset(&loop.held, 0, sizeof(loop.held));
}

/* Tells the daemon that a callback has ended. An unknown token is ignored. */
static void finish(uint64_t token, spared_status status)
{
	struct pending **at = find(token), *it = *at;
	struct writer message;

	if (!it)
		return;
	*at = it->next;
	if (it->ends == ENDS_START)
		begin_followed(status);
	message = message_of(FROM_RETURNED, it->missing ? 5 : 4);
	entry_number(&message, 0, token);
	put_head(&message, 0, 1);
	put_signed(&message, status);
	put_head(&message, 0, 2);
	put_failures(&message);
	put_head(&message, 0, 3);
	put_head(&message, 4, it->row_count);
	put_bytes(&message, it->rows.bytes, it->rows.length);
	if (it->missing) {
		put_head(&message, 0, 4);
		put_true(&message);
	}
	tell(message, 1);
	free(it->rows.bytes);
	free(it->group);
	free(it);
}

static void end_with(int status)
{
	if (loop.end < 0)
		loop.end = status;
}

/* A status that none of the callback is, becomes -EPROTO. */
static spared_status checked(const char *callback, spared_status status)
{
	static const char *const waiting[] = { "start", "stop", "drain", "settle", "role", "query" };
	int is_valid = status <= 0 && status >= -4095;
	char why[96];

	for (unsigned at = 0; at < sizeof(waiting) / sizeof(waiting[0]); at++)
		is_valid |= status == SPARED_PENDING && strcmp(callback, waiting[at]) == 0;
	is_valid |= status == SPARED_ATTENTION && strcmp(callback, "query") == 0;
	is_valid |= status == SPARED_RESTART && strcmp(callback, "configure") == 0;
	if (is_valid)
		return status;
	snprintf(why, sizeof(why), "%s returned %d, not a valid status: treated as -EPROTO", callback, (int)status);
	spared_log(SPARED_ERROR, spared_text(why));
	spared_fail(NULL, spared_text(why));
	return -EPROTO;
}

spared_status spared_done(uint64_t token, spared_status status)
{
	struct pending *it;

	LOOP_ONLY("done");
	it = *find(token);
	if (!it) {
		forget_failures(); /* what was said of a call that ended before is not of the next one */
		return 0;
	}
	status = checked(status == SPARED_PENDING ? "done" : it->callback, status);
	if (it->ends == ENDS_STOP) { /* nothing ends within a callback */
		loop.stopped.token = token;
		loop.stopped.status = status;
		loop.stopped.is_due = 1;
	} else {
		finish(token, status);
	}
	return 0;
}

/* ---- rows ---------------------------------------------------------------------------- */

/* The row's begin: its key, and room for so many entries more; NULL if there is none. */
static struct pending *row_of(uint64_t token, const char *key, size_t length, uint64_t entries,
                              spared_status *status)
{
	struct pending *it = *find(token);
	struct spared_str text = spared_text(key);
	size_t bytes = text.len + length;

	*status = 0;
	if (!it) {
		*status = -ENOENT;
		return NULL;
	}
	if (it->row_bytes + bytes > ANSWER_MAX) {
		it->missing = 1;
		*status = -EMSGSIZE;
		return NULL;
	}
	it->row_bytes += bytes;
	it->row_count++;
	put_head(&it->rows, 5, 2 + entries);
	entry_text(&it->rows, 0, text);
	put_head(&it->rows, 0, 1);
	return it;
}

spared_status spared_put_text(uint64_t token, const char *key, struct spared_str value)
{
	spared_status status;
	struct pending *it;

	LOOP_ONLY("put_text");
	it = row_of(token, key, value.len, 0, &status);

	if (it)
		put_text(&it->rows, value);
	return status;
}

static uint64_t kind_entries(uint32_t kind)
{
	uint64_t has_unit = (kind & 0xff) > SPARED_ROW_BOOL, rises = (kind & SPARED_ROW_COUNTER) != 0;

	return has_unit + rises;
}

static void put_kind(struct writer *rows, uint32_t kind, int is_signed)
{
	uint32_t unit = kind & 0xff;

	if (unit > SPARED_ROW_BOOL)
		entry_number(rows, 2, unit);
	if (kind & SPARED_ROW_COUNTER) {
		put_head(rows, 0, 3);
		put_true(rows);
	}
	if (is_signed) {
		put_head(rows, 0, 4);
		put_true(rows);
	}
}

spared_status spared_put_u64(uint64_t token, const char *key, uint32_t kind, uint64_t value)
{
	uint64_t entries = kind_entries(kind);
	spared_status status;
	struct pending *it;

	LOOP_ONLY("put_u64");
	it = row_of(token, key, 8, entries, &status);
	if (!it)
		return status;
	if ((kind & 0xff) == SPARED_ROW_BOOL)
		put_head(&it->rows, 7, value ? 21 : 20);
	else
		put_head(&it->rows, 0, value);
	put_kind(&it->rows, kind, 0);
	return 0;
}

spared_status spared_put_i64(uint64_t token, const char *key, uint32_t kind, int64_t value)
{
	uint64_t entries = 1 + kind_entries(kind);
	spared_status status;
	struct pending *it;

	LOOP_ONLY("put_i64");
	it = row_of(token, key, 8, entries, &status);
	if (!it)
		return status;
	put_signed(&it->rows, value);
	put_kind(&it->rows, kind, 1);
	return 0;
}

/* ---- configuration -------------------------------------------------------------------- */

static struct span body_of(const struct record *record)
{
	struct span none = { NULL, NULL };
	struct span message;

	if (!record)
		return none;
	message.at = record->bytes;
	message.end = record->bytes + record->length;
	return entry_of(message, 1);
}

/* Takes a part of a key: it ends at a dot, and a backslash stands before what is meant as it is. 0 at the end. */
static int take_part(const char **key, char *part, size_t room_of_part)
{
	size_t length = 0;
	int is_last;

	if (!*key)
		return 0;
	for (; **key && **key != '.'; ++*key) {
		if (**key == '\\' && (*key)[1])
			++*key;
		if (length + 1 < room_of_part)
			part[length++] = **key;
	}
	part[length] = '\0';
	is_last = !**key;
	*key = is_last ? NULL : *key + 1;
	return 1;
}

static struct span in_table(struct span table, struct spared_str name)
{
	struct span found = { NULL, NULL };
	uint64_t count;

	if (!open_value(&table, 5, &count))
		return found;
	while (count--) {
		struct span key = next_value(&table), value = next_value(&table);

		if (same(text_in(key), name))
			found = value;
	}
	return found;
}

static struct span in_list(struct span list, const char *position)
{
	struct span none = { NULL, NULL };
	char *end;
	uint64_t count, at = strtoull(position, &end, 10);

	if (!*position || *end || !open_value(&list, 4, &count) || at >= count)
		return none;
	while (at--)
		next_value(&list);
	return next_value(&list);
}

static struct span surroundings(void)
{
	return entry_of(body_of(loop.config), 3);
}

/* This node's value of a table by node name. */
static struct span of_node(struct span value)
{
	struct span own = in_table(value, text_of(surroundings(), 0));

	return is_there(own) ? own : value;
}

static struct span below(struct span value, const char *part)
{
	return major_of(value) == 5 ? in_table(value, spared_text(part)) : in_list(value, part);
}

/* The value of a key, without the daemon's own. */
static struct span value_of(const char *key)
{
	struct span value = entry_of(body_of(loop.config), 1);
	char part[256];

	for (int is_first = 1; is_there(value) && take_part(&key, part, sizeof(part)); is_first = 0) {
		struct span next = below(value, part);

		value = is_there(next) || is_first ? next : below(of_node(value), part);
	}
	return of_node(value);
}

static int is_array_of_daemon(const char *key, struct span *list)
{
	const char *const names[] = { "@nodes", "@links" };

	for (unsigned at = 0; at < 2; at++) {
		size_t length = strlen(names[at]);

		if (strncmp(key, names[at], length) == 0 && (!key[length] || key[length] == '.')) {
			*list = entry_of(surroundings(), 1 + at);
			return 1;
		}
	}
	return 0;
}

/* A key of the daemon: 1 if it is one. */
static int of_daemon(const char *key, struct span *value)
{
	struct span list;

	if (*key != '@')
		return 0;
	if (is_array_of_daemon(key, &list))
		*value = strchr(key, '.') ? in_list(list, strchr(key, '.') + 1) : list;
	else if (strcmp(key, "@node") == 0)
		*value = entry_of(surroundings(), 0);
	else if (strcmp(key, "@peer") == 0)
		*value = entry_of(surroundings(), 3);
	else if (strcmp(key, "@state") == 0)
		*value = loop.roots ? entry_of(body_of(loop.roots), 2) : entry_of(surroundings(), 4);
	return 1;
}

static struct span look_up(const char *key)
{
	struct span value = { NULL, NULL };

	return of_daemon(key, &value) ? value : value_of(key);
}

static double float_in(unsigned code, uint64_t bits)
{
	union { uint64_t bits; double number; } wide = { bits };
	union { uint32_t bits; float number; } narrow = { (uint32_t)bits };

	return code == 27 ? wide.number : narrow.number;
}

/* As TOML writes it: with a fraction or an exponent. */
static void print_float(char *text, size_t size, double number)
{
	snprintf(text, size, "%.15g", number);
	if (strtod(text, NULL) < number || strtod(text, NULL) > number)
		snprintf(text, size, "%.17g", number);
	if (!strpbrk(text, ".en") && strlen(text) + 2 < size)
		strcat(text, ".0");
}

/* A text that lives until the callback returns. */
static struct spared_str lend(const char *text)
{
	struct spared_str none = { "", 0 };

	if (loop.lent_count == sizeof(loop.lent) / sizeof(loop.lent[0]))
		return none;
	loop.lent[loop.lent_count] = copy(text, strlen(text));
	return spared_text(loop.lent[loop.lent_count++]);
}

static void take_back(void)
{
	while (loop.lent_count)
		free(loop.lent[--loop.lent_count]);
}

spared_status spared_config_get(const char *key, struct spared_str *given)
{
	struct span value;
	unsigned major, code;
	uint64_t number;
	char text[40];

	LOOP_ONLY("config_get");
	value = look_up(key);
	if (!is_there(value) || major_of(value) == 3)
		*given = text_in(value);
	if (!is_there(value))
		return -ENOENT;
	if (major_of(value) == 3)
		return 0;
	if (!take_head(&value, &major, &code, &number) || major == 4 || major == 5)
		return -EISDIR;
	if (major == 7 && code <= 21)
		snprintf(text, sizeof(text), "%s", code == 21 ? "true" : "false");
	else if (major == 7)
		print_float(text, sizeof(text), float_in(code, number));
	else if (major == 1)
		snprintf(text, sizeof(text), "%" PRId64, -1 - (int64_t)number);
	else
		snprintf(text, sizeof(text), "%" PRIu64, number);
	*given = lend(text);
	return 0;
}

spared_status spared_config_type(const char *key, uint32_t *type)
{
	struct span value;

	LOOP_ONLY("config_type");
	value = look_up(key);
	switch (major_of(value)) {
	case 0:
	case 1:
		*type = SPARED_CONFIG_INTEGER;
		break;
	case 3:
		*type = SPARED_CONFIG_TEXT;
		break;
	case 4:
		*type = SPARED_CONFIG_ARRAY;
		break;
	case 5:
		*type = SPARED_CONFIG_TABLE;
		break;
	case 7:
		*type = (*value.at & 31) <= 21 ? SPARED_CONFIG_BOOLEAN : SPARED_CONFIG_FLOAT;
		break;
	default:
		if (!is_array_of_daemon(key, &value) || strchr(key, '.'))
			return -ENOENT;
		*type = SPARED_CONFIG_ARRAY;
	}
	return 0;
}

spared_status spared_config_len(const char *key, uint32_t *length)
{
	struct span value, list;
	uint64_t count = 0;

	LOOP_ONLY("config_len");
	value = look_up(key);
	if (!is_there(value) && !is_array_of_daemon(key, &list))
		return -ENOENT;
	if (is_there(value) && !open_value(&value, 4, &count))
		return -ENOTDIR;
	*length = (uint32_t)count;
	return 0;
}

/* Keys at the top of the file that are the daemon's. */
static int is_daemons(struct spared_str name)
{
	static const char *const names[] = { "enabled", "after", "follow", "allow", "on_failure", "memory_mib" };

	for (unsigned at = 0; at < sizeof(names) / sizeof(names[0]); at++)
		if (same(spared_text(names[at]), name))
			return 1;
	return 0;
}

static int is_before(struct spared_str one, struct spared_str other)
{
	size_t least = one.len < other.len ? one.len : other.len;
	int order = memcmp(one.ptr, other.ptr, least);

	return order < 0 || (order == 0 && one.len < other.len);
}

/* How many keys of a table come before a name; without the daemon's at the top. */
static uint32_t rank_in(struct span table, uint64_t count, struct spared_str name, int is_top)
{
	uint32_t rank = 0;

	while (count--) {
		struct spared_str other = text_in(next_value(&table));

		next_value(&table);
		rank += is_before(other, name) && !(is_top && is_daemons(other));
	}
	return rank;
}

static struct spared_str escaped(struct spared_str name)
{
	char text[512];
	size_t length = 0;

	for (size_t at = 0; at < name.len && length + 3 < sizeof(text); at++) {
		if (name.ptr[at] == '.' || name.ptr[at] == '\\')
			text[length++] = '\\';
		text[length++] = name.ptr[at];
	}
	text[length] = '\0';
	return length == name.len ? name : lend(text);
}

spared_status spared_config_keys(const char *key, uint32_t index, struct spared_str *name)
{
	struct span table, all;
	uint64_t count;

	LOOP_ONLY("config_keys");
	table = *key ? value_of(key) : entry_of(body_of(loop.config), 1);
	if (!is_there(table))
		return -ENOENT;
	if (!open_value(&table, 5, &count))
		return -ENOTDIR;
	all = table;
	for (uint64_t left = count; left; left--) {
		struct spared_str found = text_in(next_value(&table));

		next_value(&table);
		if (!*key && is_daemons(found))
			continue;
		if (rank_in(all, count, found, !*key) == index) {
			*name = escaped(found);
			return 0;
		}
	}
	return -ENOENT;
}

spared_status spared_declare(const char *key, uint32_t scope)
{
	LOOP_ONLY("declare");
	if (!loop.is_configuring)
		return refuse("declare", "may only be called in configure");
	if (!*key)
		return refuse("declare", "a key of 0 bytes");
	if (scope < SPARED_SCOPE_PAIR || scope > SPARED_SCOPE_SECRET)
		return refuse("declare", "unknown scope %" PRIu32, scope);
	loop.scope_count++;
	put_head(&loop.scopes, 5, 2);
	entry_text(&loop.scopes, 0, spared_text(key));
	entry_number(&loop.scopes, 1, scope);
	return 0;
}

/* ---- descriptors and timers ------------------------------------------------------------ */

/* The loop's own descriptors, as data of epoll; those of the plugin are their numbers. */
#define OWN (1ull << 32)
enum own { OWN_SOCKET, OWN_TIMER, OWN_WAKE, OWN_PEER, OWN_PARTNER };

static int control(int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return epoll_ctl(loop.epoll, operation, fd, &event);
}

/* The plugin has closed a descriptor of the loop. */
static void is_robbed(void)
{
	spared_logf(SPARED_ERROR, "closed a descriptor of its worker (%s)", strerror(errno));
	end_with(BROKEN);
}

static struct watch *watched(int fd)
{
	for (unsigned at = 0; at < loop.watch_count; at++)
		if (loop.watches[at].fd == fd)
			return &loop.watches[at];
	return NULL;
}

static void unwatch(int fd)
{
	struct watch *watch = watched(fd);

	if (watch) {
		*watch = loop.watches[--loop.watch_count];
		control(EPOLL_CTL_DEL, fd, 0, 0);
	}
}

spared_status spared_watch_fd(int fd, uint32_t events)
{
	struct watch *watch;

	LOOP_ONLY("watch_fd");
	if (fd < 0)
		return -EBADF;
	watch = watched(fd);
	events &= SPARED_FD_READ | SPARED_FD_WRITE;
	if (!events) {
		unwatch(fd);
		return 0;
	}
	if (!watch && loop.watch_count == WATCHES_MAX)
		return -ENOSPC;
	if (control(EPOLL_CTL_ADD, fd, events, (uint32_t)fd) &&
	    (errno != EEXIST || control(EPOLL_CTL_MOD, fd, events, (uint32_t)fd)))
		return -errno;
	if (!watch)
		watch = &loop.watches[loop.watch_count++];
	watch->fd = fd;
	watch->events = events;
	return 0;
}

spared_status spared_timer(uint32_t id, uint64_t at_ns)
{
	struct timer *timer = loop.timers, *end;

	LOOP_ONLY("timer");
	end = loop.timers + loop.timer_count;
	while (timer < end && timer->id != id)
		timer++;
	if (!at_ns) {
		if (timer < end)
			*timer = loop.timers[--loop.timer_count];
		return 0;
	}
	if (timer == end) {
		if (loop.timer_count == TIMERS_MAX)
			return -ENOSPC;
		loop.timer_count++;
	}
	timer->id = id;
	timer->at_ns = at_ns;
	return 0;
}

static struct timer *next_timer(void)
{
	struct timer *next = NULL;

	for (unsigned at = 0; at < loop.timer_count; at++)
		if (!next || loop.timers[at].at_ns < next->at_ns)
			next = &loop.timers[at];
	return next;
}

uint64_t spared_now(void)
{
	return monotonic_ns();
}

static void arm(void)
{
	struct timer *next = next_timer();
	uint64_t at_ns = next ? next->at_ns : 0;
	struct itimerspec spec = { 0 };

	if (at_ns == loop.armed_ns)
		return;
	spec.it_value.tv_sec = (time_t)(at_ns / 1000000000u);
	spec.it_value.tv_nsec = (long)(at_ns % 1000000000u);
	if (timerfd_settime(loop.timer, TFD_TIMER_ABSTIME, &spec, NULL))
		is_robbed();
	else
		loop.armed_ns = at_ns;
}

/* ---- calls of the plugin --------------------------------------------------------------- */

/* Counts a callback that took long, and tells of it once an hour. */
static spared_status end_call(const char *callback, spared_status status)
{
	uint64_t now_ns = monotonic_ns(), begun_ns = loop.begun_ns;

	take_back();
	if (now_ns - begun_ns > CALLBACK_NS) {
		loop.slow_calls++;
		if (!loop.slow_told_ns || now_ns - loop.slow_told_ns >= HOUR_NS) {
			loop.slow_told_ns = now_ns;
			spared_logf(SPARED_DEBUG, "%s took %" PRIu64 " ms, limit is 50 ms", callback,
			            (now_ns - begun_ns) / 1000000u);
		}
	}
	if (status == SPARED_BROKEN)
		end_with(BROKEN);
	return status;
}

/* Calls a callback of the plugin; 0 if it has none. */
#define CALL(callback, ...) \
	(loop.plugin->callback ? (loop.begun_ns = monotonic_ns(), end_call(#callback, loop.plugin->callback(__VA_ARGS__))) : 0)

/* A callback that nobody waits for. */
#define TELL(callback, ...) heed(#callback, loop.is_created && loop.end < 0 ? CALL(callback, __VA_ARGS__) : 0)

/* Callbacks that failed when they were called last. */
static struct {
	const char *name;
	uint64_t told_ns;
} failing[32];

/* Whether the daemon is to be told that a callback fails, or works again: that, or each second. */
static int is_news(const char *callback, int fails)
{
	uint64_t now_ns = monotonic_ns();
	unsigned at = 0;

	while (at < 31 && failing[at].name && strcmp(failing[at].name, callback) != 0)
		at++;
	if (!fails && !failing[at].told_ns)
		return 0;
	failing[at].name = callback;
	if (fails && failing[at].told_ns && now_ns - failing[at].told_ns < 1000000000u)
		return 0;
	failing[at].told_ns = fails ? now_ns : 0;
	return 1;
}

/* One that fails is logged, and a state that the daemon knows. */
static void heed(const char *callback, spared_status status)
{
	struct writer message;

	status = checked(callback, status);
	if (status < 0 && !loop.failure_count)
		spared_fail(NULL, spared_text(strerror(-status)));
	if (is_news(callback, status < 0)) {
		message = message_of(FROM_CALLBACK, status < 0 ? 2 : 1);
		entry_text(&message, 0, spared_text(callback));
		if (status < 0)
			entry_text(&message, 1, spared_text(loop.failures[0].why));
		tell(message, 0);
	}
	log_failures(callback);
}

static void serve_timers(void)
{
	uint64_t now_ns = monotonic_ns();

	/* as many as there were: one that is set again for the past waits for the next round */
	for (unsigned left = loop.timer_count; left && loop.end < 0; left--) {
		struct timer *next = next_timer();
		uint32_t id;

		if (!next || next->at_ns > now_ns)
			return;
		id = next->id;
		spared_timer(id, 0);
		TELL(timer, loop.self, id);
	}
}

/* ---- channels ---------------------------------------------------------------------------- */

static spared_status transmit_to(struct link *link, uint64_t data, uint8_t kind, struct spared_bytes message)
{
	struct iovec parts[] = { { &kind, 1 }, { (void *)(uintptr_t)message.ptr, message.len } };
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = message.len ? 2 : 1 };
	ssize_t sent;

	if (message.len > SPARED_MESSAGE_MAX)
		return -EMSGSIZE;
	if (link->socket < 0)
		return -ENOTCONN;
	do
		sent = sendmsg(link->socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	if (errno == EPIPE || errno == ECONNRESET)
		return -ENOTCONN;
	if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)
		return -errno;
	link->is_full = 1;
	control(EPOLL_CTL_MOD, link->socket, EPOLLIN | EPOLLOUT, data);
	return -EAGAIN;
}

spared_status spared_send(struct spared_bytes message)
{
	uint8_t kind = (uint8_t)(MESSAGE | ((loop.peer.ups - 1) & 15) << 4);

	LOOP_ONLY("send");
	if (message.len <= SPARED_MESSAGE_MAX && !loop.peer.is_up)
		return -ENOTCONN;
	return transmit_to(&loop.peer, OWN | OWN_PEER, kind, message);
}

spared_status spared_send_partner(size_t partner, struct spared_bytes message)
{
	LOOP_ONLY("send_partner");
	if (partner >= loop.partner_count)
		return refuse("send_partner", "partner %zu, and it has %u", partner, loop.partner_count);
	return transmit_to(&loop.partners[partner], OWN | (OWN_PARTNER + partner), MESSAGE, message);
}

void spared_in_sync(int yes, struct spared_str why)
{
	struct writer message;

	if (loop.only_checks || is_other_thread("in_sync"))
		return;
	message = message_of(FROM_IN_SYNC, yes ? 2 : 1);
	if (yes) {
		put_head(&message, 0, 0);
		put_true(&message);
	}
	entry_text(&message, 1, why);
	tell(message, 0);
}

static uint64_t waiting(const struct link *link)
{
	int bytes = 0;

	return link->socket >= 0 && ioctl(link->socket, FIONREAD, &bytes) == 0 ? (uint64_t)bytes : 0;
}

static void peer_is_gone(void)
{
	if (!loop.peer.is_up)
		return;
	loop.peer.is_up = 0;
	spared_in_sync(0, spared_text("peer is down"));
	TELL(down, loop.self);
}

/* Closes a channel; its successor begins. */
static int replace(struct link *link, uint64_t data)
{
	if (link->socket >= 0)
		close(link->socket);
	link->socket = link->successor;
	link->successor = -1;
	link->is_full = 0;
	link->left = 0;
	link->ups = 0;
	if (link->socket >= 0 && control(EPOLL_CTL_ADD, link->socket, EPOLLIN, data))
		spared_logf(SPARED_ERROR, "cannot watch a channel: %s", strerror(errno));
	return link->socket >= 0;
}

static void close_peer(void)
{
	peer_is_gone();
	replace(&loop.peer, OWN | OWN_PEER);
}

static void handle_up(const uint8_t *wire)
{
	peer_is_gone();
	loop.peer.ups++;
	loop.peer.is_up = 1;
	spared_in_sync(0, spared_text("not reported yet"));
	TELL(up, loop.self, (uint32_t)wire[0] << 24 | (uint32_t)wire[1] << 16 | (uint32_t)wire[2] << 8 | wire[3]);
}

/* What is wrong with a record of the peer's channel, or NULL. */
static const char *handle_record(const uint8_t *record, size_t length)
{
	struct spared_bytes message = { record + 1, length - 1 };

	if (length == 5 && record[0] == UP) {
		handle_up(record + 1);
	} else if (length == 1 && record[0] == DOWN) {
		loop.peer.is_full = 0;
		control(EPOLL_CTL_MOD, loop.peer.socket, EPOLLIN, OWN | OWN_PEER);
		peer_is_gone();
	} else if (record[0] == MESSAGE && loop.peer.is_up) {
		TELL(message, loop.self, message);
	} else {
		return record[0] == MESSAGE ? "message while the peer is down" : "unknown record";
	}
	return NULL;
}

/* Length of the next record, 0 at the end; -1: there is none, -2: a failure. */
static ssize_t receive(int socket)
{
	ssize_t length;

	do /* a reset is reported once, before the records that came ahead of it */
		length = recv(socket, loop.buffer, SPARE, MSG_DONTWAIT | MSG_TRUNC);
	while (length < 0 && (errno == EINTR || errno == ECONNRESET));
	if (length >= 0)
		return length;
	return errno == EAGAIN ? -1 : -2;
}

/* Handles one record of the peer's channel; its length, or 0. */
static size_t serve_record(void)
{
	ssize_t length = loop.peer.socket < 0 ? -1 : receive(loop.peer.socket);
	const char *why;

	if (length == -1)
		return 0;
	if (length == -2 && (errno == EBADF || errno == ENOTSOCK)) {
		is_robbed();
		return 0;
	}
	if (length <= 0) {
		close_peer();
		return 0;
	}
	why = length > (ssize_t)SPARE ? "a record is too long" : handle_record(loop.buffer, (size_t)length);
	if (why) {
		spared_logf(SPARED_ERROR, "closed the channel to the peer: %s", why);
		close_peer();
	} else {
		loop.peer.left -= (uint64_t)length < loop.peer.left ? (uint64_t)length : loop.peer.left;
		if (!loop.peer.left && loop.peer.successor >= 0)
			close_peer();
	}
	return (size_t)length;
}

static void serve_peer(void)
{
	uint64_t end_ns = monotonic_ns() + ROUND_NS;

	for (int left = RECORDS_PER_ROUND; left && loop.end < 0; left--)
		if (!serve_record() || monotonic_ns() > end_ns)
			return;
}

/* Handles all that is in the channel now, whatever the link adds meanwhile. */
static void serve_waiting(uint64_t deadline_ns)
{
	uint64_t least_ns = monotonic_ns() + CALLBACK_NS, left;

	if (deadline_ns < least_ns)
		deadline_ns = least_ns;
	while (loop.peer.successor >= 0 && loop.end < 0 && monotonic_ns() < deadline_ns)
		if (!serve_record())
			break;
	for (left = waiting(&loop.peer); left && loop.end < 0 && monotonic_ns() < deadline_ns;) {
		size_t length = serve_record();

		if (!length)
			return;
		left -= length < left ? length : left;
	}
}

static void take_channel(int socket)
{
	uint64_t left = waiting(&loop.peer);

	if (loop.peer.successor >= 0)
		close(loop.peer.successor);
	loop.peer.successor = socket;
	loop.peer.left = left;
	if (!left)
		close_peer();
}

static void close_partner(size_t partner)
{
	struct link *link = &loop.partners[partner];

	if (link->socket >= 0)
		TELL(partner_down, loop.self, partner);
	if (replace(link, OWN | (OWN_PARTNER + partner)))
		TELL(partner_up, loop.self, partner);
}

/* The end of the channel before it ends with what was sent already. */
static void take_partner(struct spared_str name, int socket)
{
	for (size_t at = 0; at < loop.partner_count; at++) {
		struct link *link = &loop.partners[at];

		if (!same(spared_text(loop.partner_names[at]), name))
			continue;
		if (link->successor >= 0)
			close(link->successor);
		link->successor = socket;
		if (link->socket < 0 || shutdown(link->socket, SHUT_RDWR))
			close_partner(at);
		return;
	}
	spared_logf(SPARED_ERROR, "the daemon sent a channel to %.*s", (int)name.len, name.ptr);
	close(socket);
}

/* Handles some records of a partner. */
static void serve_partner(size_t partner)
{
	uint64_t end_ns = monotonic_ns() + ROUND_NS;
	struct link *link = &loop.partners[partner];

	for (int left = RECORDS_PER_ROUND; left && loop.end < 0 && monotonic_ns() <= end_ns; left--) {
		struct spared_bytes message = { loop.buffer + 1, 0 };
		ssize_t length = link->socket < 0 ? -1 : receive(link->socket);

		if (length == -1)
			return;
		if (length <= 0 || length > (ssize_t)SPARE || loop.buffer[0] != MESSAGE) {
			if (length > 0)
				spared_logf(SPARED_ERROR, "closed the channel to %s, which broke its rules",
				            loop.partner_names[partner]);
			close_partner(partner);
			return;
		}
		message.len = (size_t)length - 1;
		TELL(partner_message, loop.self, partner, message);
	}
}

/* A channel that was full takes records again. */
static void handle_writable(struct link *link, uint64_t data)
{
	if (!link->is_full || link->socket < 0)
		return;
	link->is_full = 0;
	control(EPOLL_CTL_MOD, link->socket, EPOLLIN, data);
	if (link != &loop.peer)
		TELL(partner_writable, loop.self, (size_t)(link - loop.partners));
	else if (link->is_up)
		TELL(writable, loop.self);
}

/* ---- what is asked of the daemon ----------------------------------------------------------- */

/* A call, whose answer is heard when it refuses. */
static struct writer call_of(uint32_t kind, uint64_t entries)
{
	struct writer call = message_of(kind, 1 + entries);

	entry_number(&call, 0, ++loop.calls);
	return call;
}

static spared_status valid_interface(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < 16 ? 0 : -EINVAL;
}

static struct followed **followed_as(struct spared_str name)
{
	struct followed **at = &loop.followed;

	while (*at && !same(spared_text((*at)->name), name))
		at = &(*at)->next;
	return at;
}

static void close_sockets(struct spared_socket *sockets, unsigned count)
{
	while (count--) {
		unwatch(sockets[count].fd);
		close(sockets[count].fd);
	}
}

spared_status spared_follow(const char *interface, uint32_t sockets)
{
	struct followed **at;
	struct writer call;

	LOOP_ONLY("follow");
	if (valid_interface(interface))
		return refuse("follow", "an interface's name has 1-15 bytes");
	if (loop.only_checks)
		return 0;
	at = followed_as(spared_text(interface));
	if (!*at) {
		struct followed *new = room(NULL, sizeof(*new));

		memset(new, 0, sizeof(*new));
		new->name = copy(interface, strlen(interface));
		*at = new;
	}
	call = call_of(CALL_FOLLOW, 2);
	entry_text(&call, 1, spared_text(interface));
	entry_number(&call, 2, sockets);
	tell(call, 1);
	return 0;
}

spared_status spared_unfollow(const char *interface)
{
	struct followed **at, *it;
	struct writer call;

	LOOP_ONLY("unfollow");
	at = followed_as(spared_text(interface));
	it = *at;
	if (!it)
		return -ENOENT;
	*at = it->next;
	close_sockets(it->sockets, it->socket_count);
	free(it->name);
	free(it);
	call = call_of(CALL_UNFOLLOW, 1);
	entry_text(&call, 1, spared_text(interface));
	tell(call, 1);
	return 0;
}

spared_status spared_watch(uint32_t what)
{
	struct writer call;

	LOOP_ONLY("watch");
	if (loop.only_checks)
		return 0;
	call = call_of(CALL_WATCH, 1);
	entry_number(&call, 1, what);
	tell(call, 1);
	return 0;
}

static spared_status valid_check(const char *function, const char *name)
{
	size_t length = strlen(name);

	if (!length || length > 64)
		return refuse(function, "a check's name has 1-64 bytes");
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			return refuse(function, "a check's name is printable");
	return 0;
}

spared_status spared_report(const char *name, uint32_t weight, uint32_t state, struct spared_str why)
{
	struct writer message;

	LOOP_ONLY("report");
	if (valid_check("report", name))
		return -EINVAL;
	if (weight > 9999)
		return refuse("report", "check %s: weight %" PRIu32 ", allowed 0-9999", name, weight);
	if (state > 100 && state < SPARED_CHECK_LOSES)
		return refuse("report", "check %s: state %" PRIu32 ", allowed 0-100", name, state);
	if (loop.only_checks)
		return 0;
	message = message_of(FROM_CHECK, 4);
	entry_text(&message, 0, spared_text(name));
	entry_number(&message, 1, weight);
	entry_number(&message, 2, state);
	entry_text(&message, 3, why);
	tell(message, 0);
	return 0;
}

spared_status spared_forget(const char *name)
{
	struct writer message;

	LOOP_ONLY("forget");
	if (valid_check("forget", name))
		return -EINVAL;
	if (loop.only_checks)
		return 0;
	message = message_of(FROM_FORGET, 1);
	entry_text(&message, 0, spared_text(name));
	tell(message, 0);
	return 0;
}

static void put_claim(struct writer *call, const struct spared_address_claim *claim)
{
	size_t octets = claim->address.family == 4 ? 4 : 16;

	put_head(call, 5, claim->is_source ? 4 : 3);
	entry_text(call, 0, claim->interface);
	put_head(call, 0, 2);
	put_head(call, 2, octets);
	put_bytes(call, claim->address.octets, octets);
	entry_number(call, 3, claim->address.prefix);
	if (claim->is_source) {
		put_head(call, 0, 4);
		put_true(call);
	}
}

spared_status spared_add(const char *group, const struct spared_address_claim *addresses, size_t count)
{
	struct writer call;

	LOOP_ONLY("add");
	if (!*group)
		return refuse("add", "empty group name");
	if (loop.only_checks)
		return 0;
	call = call_of(CALL_ADD, count ? 2 : 1);
	entry_text(&call, 1, spared_text(group));
	if (count) {
		put_head(&call, 0, 2);
		put_head(&call, 5, 1);
		put_head(&call, 0, 1);
		put_head(&call, 4, count);
		for (size_t at = 0; at < count; at++)
			put_claim(&call, &addresses[at]);
	}
	tell(call, 1);
	return 0;
}

/* ---- messages of the daemon ------------------------------------------------------------------ */

static void begin(uint64_t token, const char *callback, spared_status status)
{
	status = checked(callback, status);
	if (status != SPARED_PENDING)
		finish(token, status);
	log_failures(callback);
}

static void handle_role(uint64_t token, struct span body)
{
	struct span event = entry_of(body, 1);
	struct spared_role role = {
		.group = text_of(event, 0), .why = text_of(event, 2),
		.role = (uint32_t)number_of(event, 1), .before = (uint32_t)number_of(event, 6),
		.maintenance = flag_of(event, 4), .planned = flag_of(event, 5),
		.deadline_ns = number_of(event, 3), .epoch = number_of(event, 7),
		.cause = (uint32_t)number_of(entry_of(event, 8), 0),
	};
	unsigned count;
	struct pending *old = oldest(ENDS_BY_ROLE, role.group, &count);

	if (role.role != SPARED_ACTIVE && role.role != SPARED_FAULT)
		role.role = SPARED_BACKUP;
	if (old)
		finish(old->token, -ECANCELED);
	expect(token, "role", ENDS_BY_ROLE, role.group);
	begin(token, "role", loop.is_created ? CALL(role, loop.self, token, &role) : -EINVAL);
}

static void handle_query(uint64_t token, struct span body)
{
	struct spared_str none = { "", 0 }, argv[64];
	struct span words = entry_of(body, 1);
	uint64_t count = 0;
	unsigned queries;
	struct pending *old = oldest(ENDS_BY_QUERY, none, &queries);

	if (queries >= QUERIES_MAX) {
		spared_fail(NULL, spared_text("too many newer questions"));
		finish(old->token, -ECANCELED);
	}
	expect(token, "query", ENDS_BY_QUERY, none);
	open_value(&words, 4, &count);
	if (count > sizeof(argv) / sizeof(argv[0]))
		count = sizeof(argv) / sizeof(argv[0]);
	for (uint64_t at = 0; at < count; at++)
		argv[at] = text_in(next_value(&words));
	begin(token, "query", !loop.is_created ? -EINVAL : !loop.plugin->query ? -ENOSYS :
	      CALL(query, loop.self, token, argv, (size_t)count));
}

static spared_status created(void)
{
	spared_status status = 0;

	if (!loop.is_created) {
		status = CALL(create, &loop.self);
		loop.is_created = status >= 0;
	}
	return status;
}

static int same_value(struct span one, struct span other)
{
	size_t length = (size_t)(one.end - one.at);

	return length == (size_t)(other.end - other.at) && (!length || memcmp(one.at, other.at, length) == 0);
}

/* Whether root's file has this table. */
static int is_in_roots_file(struct span table)
{
	struct span tables = entry_of(body_of(loop.roots), 1);
	static const uint8_t empty = 0xa0;
	uint64_t count;

	if (!is_there(table))
		table = (struct span){ &empty, &empty + 1 };
	if (!open_value(&tables, 4, &count))
		return 0;
	while (count--)
		if (same_value(next_value(&tables), table))
			return 1;
	return 0;
}

/* Of a table by node name, the daemon does not say whose value holds. */
static int are_nodes_of_root(struct span told)
{
	struct span roots = body_of(loop.roots);

	return same_value(entry_of(told, 0), entry_of(roots, 3)) && same_value(entry_of(told, 1), entry_of(roots, 4));
}

/* A plugin that runs as root takes what root's file says: 0, or why not. */
static spared_status permit(struct span body)
{
	struct spared_str path = text_of(body_of(loop.roots), 0);
	char why[512];

	if (!loop.roots)
		return 0;
	if (!are_nodes_of_root(entry_of(body, 3))) {
		spared_fail(NULL, spared_text("runs as root, and the names of the nodes are others than at its start: "
		                              "restart spared"));
		return -EINVAL;
	}
	if (is_in_roots_file(entry_of(body, 1)))
		return 0;
	/* the next process gets what the file says by then */
	if (loop.config)
		return SPARED_RESTART;
	snprintf(why, sizeof(why), "runs as root, and this configuration differs from %.*s: reload the configuration",
	         (int)path.len, path.ptr);
	spared_fail(NULL, spared_text(why));
	return -EINVAL;
}

static void tell_scopes(void)
{
	struct writer message = message_of(FROM_SCOPES, 1);

	put_head(&message, 0, 0);
	put_head(&message, 4, loop.scope_count);
	put_bytes(&message, loop.scopes.bytes, loop.scopes.length);
	tell(message, 0);
}

/* Keeps the record if its configuration is taken. */
static int handle_configure(uint64_t token, struct span body, struct record *record)
{
	struct spared_str none = { "", 0 };
	struct record *old = loop.config;
	int check = flag_of(body, 2) || loop.only_checks, is_kept;
	spared_status status, permitted = permit(body);

	expect(token, "configure", ENDS_BY_DONE, none);
	loop.scopes.length = 0;
	loop.scope_count = 0;
	loop.config = record;
	loop.is_configuring = 1;
	status = permitted ? permitted : created();
	if (status == 0)
		status = checked("configure", CALL(configure, loop.self, check));
	loop.is_configuring = 0;
	is_kept = !permitted && !check && status >= 0;
	if (is_kept) {
		tell_scopes();
		free(old);
	} else {
		loop.config = old;
	}
	finish(token, status);
	if (loop.only_checks) {
		if (loop.is_created && loop.end < 0 && loop.plugin->destroy)
			loop.plugin->destroy(loop.self);
		loop.is_created = 0;
		end_with(0);
	}
	return is_kept;
}

static void handle_start(uint64_t token)
{
	struct spared_str none = { "", 0 };
	spared_status status;

	expect(token, "start", ENDS_START, none);
	status = created();
	if (status == 0) {
		loop.is_begun = 1;
		status = checked("start", CALL(start, loop.self, token));
	}
	if (status != SPARED_PENDING) {
		finish(token, status);
	} else if (*find(token)) {
		struct writer message = message_of(FROM_PENDING, 1);

		entry_number(&message, 0, token);
		tell(message, 1);
	}
	log_failures("start");
}

static void end_stop(uint64_t token, spared_status status)
{
	finish(token, status);
	log_failures("stop");
	if (loop.is_created && loop.end < 0 && loop.plugin->destroy)
		loop.plugin->destroy(loop.self);
	loop.is_created = 0;
	end_with(0);
}

static void handle_stop(uint64_t token)
{
	struct spared_str none = { "", 0 };
	spared_status status = 0;

	expect(token, "stop", ENDS_STOP, none);
	loop.is_started = 0;
	if (loop.is_begun)
		status = checked("stop", CALL(stop, loop.self, token));
	loop.is_begun = 0;
	if (status != SPARED_PENDING) {
		end_stop(token, status);
	} else if (*find(token)) {
		struct writer message = message_of(FROM_PENDING, 1);

		entry_number(&message, 0, token);
		tell(message, 1);
	}
}

static void take_addresses(struct span list, struct spared_address *addresses, size_t count)
{
	for (size_t at = 0; at < count; at++) {
		struct span pair = next_value(&list), octets = entry_of(pair, 0);
		uint64_t length;

		memset(&addresses[at], 0, sizeof(addresses[at]));
		if (!open_value(&octets, 2, &length) || (length != 4 && length != 16))
			continue;
		memcpy(addresses[at].octets, octets.at, (size_t)length);
		addresses[at].family = length == 4 ? 4 : 6;
		addresses[at].prefix = (uint32_t)number_of(pair, 1);
	}
}

/* Keeps the sockets of an event. Those that they replace are closed after the plugin was called, so that no
 * number means two sockets. */
static unsigned take_sockets(struct followed *it, struct span event, struct record *record,
                             struct spared_socket *old)
{
	struct span kinds = entry_of(event, 8);
	uint64_t count = 0, generation = number_of(event, 9);
	unsigned old_count = it->socket_count;

	open_value(&kinds, 4, &count);
	if (count && !record->fd_count && generation == it->generation)
		return 0;
	memcpy(old, it->sockets, sizeof(it->sockets));
	it->socket_count = 0;
	it->generation = generation;
	for (unsigned at = 0; at < record->fd_count; at++) {
		struct span kind = next_value(&kinds);
		uint64_t number;

		if (at >= count || !open_value(&kind, 0, &number)) {
			close(record->fds[at]);
			continue;
		}
		it->sockets[it->socket_count].kind = (uint32_t)number;
		it->sockets[it->socket_count++].fd = record->fds[at];
	}
	record->fd_count = 0;
	return old_count;
}

static void handle_interface(struct span event, struct record *record)
{
	struct followed *it = *followed_as(text_of(event, 0));
	struct span addresses = entry_of(event, 7), mac = entry_of(event, 6);
	struct spared_socket old[DESCRIPTORS_MAX];
	struct spared_interface interface = {
		.name = text_of(event, 0), .present = flag_of(event, 1), .up = flag_of(event, 2),
		.carrier = flag_of(event, 3), .index = (uint32_t)number_of(event, 4),
		.mtu = (uint32_t)number_of(event, 5),
	};
	struct spared_address *own;
	unsigned old_count;
	uint64_t count = 0, length;

	if (!it || !loop.plugin->changed)
		return;
	old_count = take_sockets(it, event, record, old);
	open_value(&addresses, 4, &count);
	own = room(NULL, (size_t)count * sizeof(*own));
	take_addresses(addresses, own, (size_t)count);
	if (open_value(&mac, 2, &length) && length == 6)
		memcpy(interface.mac, mac.at, 6);
	interface.addresses = own;
	interface.address_count = (size_t)count;
	interface.sockets = it->sockets;
	interface.socket_count = it->socket_count;
	TELL(changed, loop.self, &interface);
	close_sockets(old, old_count);
	free(own);
}

static uint32_t verdict_of(struct span map)
{
	uint64_t verdict = number_of(map, 0);

	return verdict > SPARED_NONE ? SPARED_WARNING : (uint32_t)verdict;
}

static void handle_status(struct span status)
{
	struct span groups = entry_of(status, 6), findings = entry_of(status, 7);
	uint64_t group_count = 0, finding_count = 0;
	struct spared_group_status *of_groups;
	struct spared_finding *of_findings;
	struct spared_verdict pair = {
		.verdict = verdict_of(status), .quality = (uint32_t)number_of(status, 1),
		.ready = flag_of(status, 2), .link_up = flag_of(status, 3),
		.node = text_of(status, 4), .peer = text_of(status, 5),
		.left_out = (uint32_t)number_of(status, 8),
	};

	open_value(&groups, 4, &group_count);
	open_value(&findings, 4, &finding_count);
	of_groups = room(NULL, (size_t)group_count * sizeof(*of_groups));
	of_findings = room(NULL, (size_t)finding_count * sizeof(*of_findings));
	for (uint64_t at = 0; at < group_count; at++) {
		struct span group = next_value(&groups);

		of_groups[at] = (struct spared_group_status){ verdict_of(group), (uint32_t)number_of(group, 3),
		                                              text_of(group, 1), text_of(group, 2) };
	}
	for (uint64_t at = 0; at < finding_count; at++) {
		struct span it = next_value(&findings);

		of_findings[at] = (struct spared_finding){ text_of(it, 0), text_of(it, 1), text_of(it, 2),
		                                           text_of(it, 3), text_of(it, 4), text_of(it, 5) };
	}
	pair.groups = of_groups;
	pair.group_count = (size_t)group_count;
	pair.findings = of_findings;
	pair.finding_count = (size_t)finding_count;
	TELL(status, loop.self, &pair);
	free(of_groups);
	free(of_findings);
}

static void handle_event(struct span record)
{
	struct spared_event event = {
		(uint32_t)number_of(record, 0), number_of(record, 1), text_of(record, 2), text_of(record, 3),
		text_of(record, 4), text_of(record, 5), text_of(record, 6),
	};

	TELL(event, loop.self, &event);
}

static void ask_for_document(uint64_t ticket, uint32_t what, uint64_t from)
{
	struct writer message = message_of(FROM_DOCUMENT, 3);

	entry_number(&message, 0, ticket);
	entry_number(&message, 1, what);
	entry_number(&message, 2, from);
	tell(message, 0);
}

spared_status spared_document(uint64_t ticket, uint32_t what)
{
	LOOP_ONLY("document");
	if (!loop.only_checks)
		ask_for_document(ticket, what, 0);
	return 0;
}

/* The next part is asked for when one has come, so that none fills the socket. */
static void handle_document(struct span part)
{
	struct span number = entry_of(part, 1);
	struct spared_str text = text_of(part, 2);
	struct writer *whole = &loop.document.text;
	uint64_t ticket = number_of(part, 0), left = number_of(part, 3), negative;
	spared_status status = 0;

	if (major_of(number) == 1 && open_value(&number, 1, &negative))
		status = negative < 4095 ? (spared_status)(-1 - (int64_t)negative) : -EPROTO;
	if (loop.document.ticket != ticket || status < 0)
		whole->length = 0;
	loop.document.ticket = ticket;
	if (status >= 0)
		put_bytes(whole, text.ptr, text.len);
	if (left > SPARED_DOCUMENT_MAX || whole->length + left > SPARED_DOCUMENT_MAX) {
		status = -EMSGSIZE;
		whole->length = 0;
	}
	if (status >= 0 && left && text.len) {
		ask_for_document(ticket, 0, whole->length);
		return;
	}
	TELL(document, loop.self, ticket, status, ((struct spared_str){ (const char *)whole->bytes, whole->length }));
	whole->length = 0;
}

/* The daemon has logged why it refuses. */
static void handle_answer(struct span body)
{
	struct span statuses = entry_of(body, 1), first;
	uint64_t count, number;

	if (!open_value(&statuses, 4, &count) || !count)
		return;
	first = next_value(&statuses);
	if (open_value(&first, 1, &number) && number < 4095)
		spared_logf(SPARED_WARN, "the daemon refused call %" PRIu64 ": %s", number_of(body, 0),
		            strerror((int)number + 1));
}

static void pong(uint64_t number)
{
	struct writer message = message_of(FROM_PONG, 2);
	int spare;

	entry_number(&message, 0, loop.slow_calls);
	entry_number(&message, 1, number);
	tell(message, 1);
	spare = dup(out.wake);
	if (spare >= 0) {
		close(spare);
	} else if (errno == EMFILE) {
		spared_log(SPARED_ERROR, spared_text("has used up all its file descriptors"));
		end_with(BROKEN);
	}
}

/* These are for a plugin that has started. */
static int waits_for_start(uint64_t kind)
{
	return !loop.is_started && (kind == TO_INTERFACE || (kind >= TO_CHANNEL && kind <= TO_EVENT) ||
	                            kind == TO_DOCUMENT);
}

/* Whether the record is kept. */
static int dispatch_of(uint64_t kind, struct span body, struct record *record, int is_first)
{
	uint64_t token = number_of(body, 0);
	struct spared_str none = { "", 0 };

	/* a plugin that is only checked runs nothing */
	if (loop.only_checks && kind != TO_CONFIGURE && kind != TO_PING)
		return 0;
	switch (kind) {
	case TO_CONFIGURE:
		return handle_configure(token, body, record);
	case TO_START:
		handle_start(token);
		return 0;
	case TO_STOP:
		handle_stop(token);
		return 0;
	case TO_DRAIN:
		expect(token, "drain", ENDS_BY_DONE, none);
		begin(token, "drain", loop.is_created ? CALL(drain, loop.self, token, number_of(body, 1)) : -EINVAL);
		return 0;
	case TO_SETTLE:
		serve_waiting(number_of(body, 1));
		expect(token, "settle", ENDS_BY_DONE, none);
		begin(token, "settle", loop.is_created ? CALL(settle, loop.self, token, number_of(body, 1)) : -EINVAL);
		return 0;
	case TO_ROLE:
		handle_role(token, body);
		return 0;
	case TO_QUERY:
		handle_query(token, body);
		return 0;
	case TO_PING:
		pong(token);
		return 0;
	case TO_ANSWER:
		handle_answer(body);
		return 0;
	case TO_ROOTS_FILE: /* later it is not for the daemon to say */
		if (is_first)
			loop.roots = record;
		return is_first;
	case TO_CHECK_ONLY:
		loop.only_checks |= is_first;
		return 0;
	}
	if (waits_for_start(kind)) {
		if (loop.held.count >= HELD_MAX)
			return 0;
		append(&loop.held, record);
		return 1;
	}
	switch (kind) {
	case TO_INTERFACE:
		handle_interface(body, record);
		break;
	case TO_CHANNEL:
		if (record->fd_count)
			take_channel(record->fds[--record->fd_count]);
		break;
	case TO_PARTNER:
		if (record->fd_count)
			take_partner(text_of(body, 0), record->fds[--record->fd_count]);
		break;
	case TO_STATUS:
		handle_status(body);
		break;
	case TO_EVENT:
		handle_event(body);
		break;
	case TO_DOCUMENT:
		handle_document(body);
		break;
	default:
		if (kind & 0x80000000u) {
			spared_logf(SPARED_ERROR, "the daemon sent a message of kind %" PRIx64
			            ", which this plugin must know: update it", kind);
			end_with(BROKEN);
		}
	}
	return 0;
}

static void dispatch(struct record *record)
{
	struct span message = { record->bytes, record->bytes + record->length }, rest = message;
	int is_first = !loop.is_served, is_kept = 0;

	loop.is_served = 1;
	if (major_of(message) != 5 || !take_value(&rest, 0) || rest.at != rest.end) {
		spared_log(SPARED_ERROR, spared_text("the daemon sent an invalid message"));
		end_with(BROKEN);
	} else {
		is_kept = dispatch_of(number_of(message, 0), entry_of(message, 1), record, is_first);
	}
	if (is_kept)
		return;
	while (record->fd_count)
		close(record->fds[--record->fd_count]);
	free(record);
}

static void take_fds(struct msghdr *header, struct record *record)
{
	for (struct cmsghdr *it = CMSG_FIRSTHDR(header); it; it = CMSG_NXTHDR(header, it)) {
		size_t count = (it->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[DESCRIPTORS_MAX];

		if (it->cmsg_level != SOL_SOCKET || it->cmsg_type != SCM_RIGHTS || count > DESCRIPTORS_MAX)
			continue;
		memcpy(fds, CMSG_DATA(it), count * sizeof(int));
		for (size_t at = 0; at < count; at++) {
			if (record->fd_count < DESCRIPTORS_MAX)
				record->fds[record->fd_count++] = fds[at];
			else
				close(fds[at]);
		}
	}
}

/* The daemon is gone: the plugin is stopped, and 2 s remain. */
static void daemon_is_gone(void)
{
	unsigned count;
	struct spared_str none = { "", 0 };

	if (loop.is_gone)
		return;
	loop.is_gone = 1;
	alarm(2);
	control(EPOLL_CTL_DEL, out.socket, 0, 0);
	if (!oldest(ENDS_STOP, none, &count))
		handle_stop(UINT64_MAX);
}

/* The next message, or NULL. */
static struct record *receive_message(void)
{
	union { char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))]; struct cmsghdr aligned; } control;
	struct iovec part = { loop.buffer, sizeof(loop.buffer) };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
	                         .msg_controllen = sizeof(control.bytes) };
	struct record *record;
	ssize_t length;

	do
		length = recvmsg(out.socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (length < 0 && (errno == EINTR || errno == ECONNRESET));
	if (length < 0 && errno == EAGAIN)
		return NULL;
	if (length <= 0 || header.msg_flags & MSG_TRUNC) {
		if (length == 0)
			daemon_is_gone();
		else
			is_robbed();
		return NULL;
	}
	record = record_of(loop.buffer, (size_t)length);
	take_fds(&header, record);
	return record;
}

static void serve_messages(int is_readable)
{
	for (int left = MESSAGES_PER_ROUND; left && loop.end < 0; left--) {
		struct record *record = take(&loop.inbox);

		if (!record && is_readable && !loop.is_gone)
			record = receive_message();
		if (!record)
			return;
		dispatch(record);
	}
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void serve_own(uint64_t own, uint32_t events, int *reads)
{
	uint64_t partner = own - OWN_PARTNER;

	if (own == OWN_SOCKET) {
		reads[0] |= events != EPOLLOUT;
	} else if (own == OWN_WAKE) {
		if (take_woken())
			TELL(woken, loop.self);
	} else if (own == OWN_PEER) {
		reads[1] |= events != EPOLLOUT;
		if (events & EPOLLOUT)
			handle_writable(&loop.peer, OWN | OWN_PEER);
	} else if (own >= OWN_PARTNER && partner < loop.partner_count) {
		reads[2 + partner] |= events != EPOLLOUT;
		if (events & EPOLLOUT)
			handle_writable(&loop.partners[partner], OWN | own);
	}
}

static void serve_round(void)
{
	struct epoll_event events[64];
	int reads[2 + PARTNERS_MAX] = { 0 };
	int count, is_congested;

	arm();
	is_congested = !flush();
	if (is_congested != loop.is_congested && !loop.is_gone &&
	    !control(EPOLL_CTL_MOD, out.socket, is_congested ? EPOLLIN | EPOLLOUT : EPOLLIN, OWN | OWN_SOCKET))
		loop.is_congested = is_congested;
	count = epoll_wait(loop.epoll, events, 64, loop.inbox.first ? 0 : -1);
	if (count < 0 && errno != EINTR)
		is_robbed();
	for (int at = 0; at < count && loop.end < 0; at++) {
		uint64_t data = events[at].data.u64;

		if (data & OWN)
			serve_own(data & ~OWN, events[at].events, reads);
		else if (watched((int)data)) /* an earlier callback may have stopped that */
			TELL(fd, loop.self, (int)data, events[at].events);
	}
	if (loop.end < 0)
		serve_timers();
	if (reads[1] && loop.end < 0)
		serve_peer();
	for (size_t at = 0; at < loop.partner_count; at++)
		if (reads[2 + at] && loop.end < 0)
			serve_partner(at);
	serve_messages(reads[0]);
	if (loop.stopped.is_due && loop.end < 0) {
		loop.stopped.is_due = 0;
		end_stop(loop.stopped.token, loop.stopped.status);
	}
}

/* The partners, as the note names them. */
static void read_partners(const char *note)
{
	static const char key[] = "partner = ";

	for (const char *line = note; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		size_t length = strcspn(line, "\n");

		if (strncmp(line, key, sizeof(key) - 1) || loop.partner_count == PARTNERS_MAX)
			continue;
		loop.partners[loop.partner_count].socket = -1;
		loop.partners[loop.partner_count].successor = -1;
		line += sizeof(key) - 1;
		loop.partner_names[loop.partner_count++] = copy(line, length - (sizeof(key) - 1));
	}
}

static int set_up(int socket)
{
	out.socket = socket;
	out.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	return out.wake >= 0 && loop.timer >= 0 && loop.epoll >= 0 &&
	       !control(EPOLL_CTL_ADD, socket, EPOLLIN, OWN | OWN_SOCKET) &&
	       !control(EPOLL_CTL_ADD, loop.timer, EPOLLIN, OWN | OWN_TIMER) &&
	       !control(EPOLL_CTL_ADD, out.wake, EPOLLIN, OWN | OWN_WAKE);
}

int spared_run(int socket, const char *note, const struct spared_plugin *plugin)
{
	uint64_t until_ns;

	loop.thread = pthread_self();
	loop.plugin = plugin;
	loop.note = note;
	read_partners(note);
	if (!set_up(socket)) {
		fprintf(stderr, "cannot set up: %s\n", strerror(errno));
		return BROKEN;
	}
	while (loop.end < 0)
		serve_round();
	until_ns = monotonic_ns() + 100000000u; /* for the last messages */
	while (!flush() && monotonic_ns() < until_ns)
		usleep(2000);
	return loop.end;
}
