/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Does what a test tells it by queries, and says what came of it in rows: probe.c with the library of abi/c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "spared_plugin.h"

static uint64_t slow_token, pending_token;
static unsigned timers_seen, woken_seen, fds_seen, changes_seen, writables_seen, nap_us;
static uint64_t fd_bytes, messages_seen, bytes_seen, faults_seen, settled_at, to_send, sent, send_bytes;
static char order[256], last_event[256], last_peer[64], last_status[256], state_dir[256];
static pthread_t thread;

static void note(const char *what)
{
	if (strlen(order) + strlen(what) + 2 < sizeof(order)) {
		strcat(order, what);
		strcat(order, " ");
	}
}

static void touch(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	fd = *state_dir ? open(path, O_CREAT | O_WRONLY, 0644) : -1;
	if (fd >= 0)
		close(fd);
}

static uint64_t number_of(struct spared_str value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)value.len, value.ptr);
	return strtoull(text, NULL, 10);
}

static spared_status configure(void *self, int check)
{
	struct spared_str value;
	char name[16];

	(void)self;
	if (spared_config_get("wrong", &value) == 0) {
		spared_fail("wrong", spared_text("found a value, allowed none"));
		spared_fail("group.0.name", spared_text("missing"));
		return -EINVAL;
	}
	if (spared_config_get("restart", &value) == 0)
		return SPARED_RESTART;
	if (spared_config_get("scope", &value) == 0) {
		spared_declare("server.interface", SPARED_SCOPE_NODE);
		spared_declare("server.secret", SPARED_SCOPE_LOCAL);
		if (spared_declare("server", 9) != -EINVAL || spared_declare("", SPARED_SCOPE_PAIR) != -EINVAL)
			return -EIO;
	}
	if (!check && spared_config_get("state_dir", &value) == 0)
		snprintf(state_dir, sizeof(state_dir), "%.*s", (int)value.len, value.ptr);
	if (check || spared_config_get("follow", &value))
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)value.len, value.ptr);
	return spared_follow(name, SPARED_SOCKETS_NONE);
}

/* With the key, done() follows after so many ms; 0: never. */
static spared_status later(const char *key, uint64_t token)
{
	struct spared_str value;

	if (spared_config_get(key, &value))
		return 0;
	slow_token = token;
	if (number_of(value))
		spared_timer(555, spared_now() + number_of(value) * 1000000);
	return SPARED_PENDING;
}

static spared_status start(void *self, uint64_t token)
{
	(void)self;
	note("start");
	return later("slow_start", token);
}

static spared_status stop(void *self, uint64_t token)
{
	(void)self;
	touch("stopped");
	return later("slow_stop", token);
}

static void destroy(void *self)
{
	(void)self;
	touch("destroyed");
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self;
	if (event->group.len == 4 && memcmp(event->group.ptr, "pend", 4) == 0) {
		pending_token = token;
		return SPARED_PENDING;
	}
	if (event->group.len == 5 && memcmp(event->group.ptr, "early", 5) == 0) {
		spared_done(token, 0);
		return SPARED_PENDING;
	}
	return event->role == SPARED_FAULT ? -EIO : 0;
}

static spared_status fd(void *self, int ready, uint32_t events)
{
	char buffer[64];
	ssize_t n = read(ready, buffer, sizeof(buffer));

	(void)self, (void)events;
	note("fd");
	fds_seen++;
	if (n <= 0)
		spared_watch_fd(ready, 0);
	else
		fd_bytes += (uint64_t)n;
	return 0;
}

static spared_status timer(void *self, uint32_t id)
{
	(void)self;
	note("timer");
	timers_seen++;
	switch (id) {
	case 555:
		return spared_done(slow_token, 0);
	case 667:
		usleep(60000);
		return 0;
	case 888:
		return -EIO;
	case 999:
		return SPARED_BROKEN;
	}
	return 0;
}

static spared_status woken(void *self)
{
	(void)self;
	note("woken");
	woken_seen++;
	return 0;
}

static spared_status changed(void *self, const struct spared_interface *it)
{
	(void)self;
	note("changed");
	changes_seen++;
	snprintf(last_event, sizeof(last_event), "%.*s flags %d index %u mtu %u mac %02x addresses %zu sockets %zu",
	         (int)it->name.len, it->name.ptr, it->present | it->up << 1 | it->carrier << 2, it->index, it->mtu,
	         it->mac[5], it->address_count, it->socket_count);
	return it->socket_count ? spared_watch_fd(it->sockets[0].fd, SPARED_FD_READ) : 0;
}

static spared_status up(void *self, uint32_t wire)
{
	(void)self;
	note("up");
	snprintf(last_peer, sizeof(last_peer), "up %u", wire);
	return 0;
}

static spared_status down(void *self)
{
	(void)self;
	note("down");
	snprintf(last_peer, sizeof(last_peer), "down");
	return 0;
}

/* Each message of the test's begins with its number, counted from 0. */
static spared_status message(void *self, struct spared_bytes bytes)
{
	uint64_t number = messages_seen;

	(void)self;
	if (bytes.len >= sizeof(number))
		memcpy(&number, bytes.ptr, sizeof(number));
	else if (bytes.len)
		note("short");
	faults_seen += number != messages_seen;
	messages_seen++;
	bytes_seen += bytes.len;
	if (nap_us)
		usleep(nap_us);
	return 0;
}

static spared_status send_more(void)
{
	static uint8_t buffer[SPARED_MESSAGE_MAX];
	spared_status status = 0;

	for (; to_send && !status; to_send -= !status, sent += !status) {
		memcpy(buffer, &sent, sizeof(sent));
		status = spared_send((struct spared_bytes){ buffer, send_bytes });
	}
	return status;
}

static spared_status writable(void *self)
{
	(void)self;
	writables_seen++;
	send_more();
	return 0;
}

static spared_status settle(void *self, uint64_t token, uint64_t deadline_ns)
{
	(void)self, (void)token, (void)deadline_ns;
	note("settle");
	settled_at = messages_seen;
	return 0;
}

static spared_status status(void *self, const struct spared_pair *pair)
{
	(void)self;
	snprintf(last_status, sizeof(last_status), "%u %u %d %d %.*s %zu %zu", pair->verdict, pair->quality, pair->ready,
	         pair->link_up, (int)pair->peer.len, pair->peer.ptr, pair->group_count, pair->finding_count);
	return 0;
}

static void *other_thread(void *argument)
{
	spared_logf(SPARED_INFO, "from another thread");
	for (int i = 0; i < 1000; i++)
		spared_wake();
	return argument;
}

static void put(uint64_t token, const char *key, uint64_t value)
{
	spared_put_u64(token, key, SPARED_ROW_NUMBER, value);
}

static spared_status both(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) || write(ends[1], "x", 1) != 1)
		return -EIO;
	spared_timer(1, spared_now());
	order[0] = 0;
	return spared_watch_fd(ends[0], SPARED_FD_READ);
}

static spared_status fill(uint64_t token)
{
	char big[1000];
	struct spared_str value = { big, sizeof(big) };

	memset(big, 'x', sizeof(big));
	while (spared_put_text(token, "row", value) == 0)
		;
	return spared_put_text(token, "row", value);
}

static spared_status show_messages(uint64_t token)
{
	put(token, "messages", messages_seen);
	put(token, "bytes", bytes_seen);
	put(token, "faults", faults_seen);
	put(token, "settled_at", settled_at);
	put(token, "sent", sent);
	put(token, "writables", writables_seen);
	spared_put_text(token, "peer", spared_text(last_peer));
	return spared_put_text(token, "order", spared_text(order));
}

static spared_status show_state(uint64_t token)
{
	put(token, "timers", timers_seen);
	put(token, "woken", woken_seen);
	put(token, "fds", fds_seen);
	put(token, "bytes", fd_bytes);
	put(token, "changes", changes_seen);
	spared_put_text(token, "event", spared_text(last_event));
	spared_put_text(token, "status", spared_text(last_status));
	return spared_put_text(token, "order", spared_text(order));
}

static spared_status flood(void)
{
	for (int i = 0; i < 20000; i++)
		spared_logf(SPARED_INFO, "flood %d", i);
	return 0;
}

static spared_status leak(void)
{
	while (open("/dev/null", O_RDONLY) >= 0)
		;
	return 0;
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)
{
	static uint8_t long_message[SPARED_MESSAGE_MAX + 1];
	char words[4][128] = { { 0 } };
	struct spared_str value;
	uint32_t length = 0;
	spared_status status;

	(void)self;
	for (size_t i = 0; i < argc && i < 4; i++)
		snprintf(words[i], sizeof(words[i]), "%.*s", (int)argv[i].len, argv[i].ptr);
#define IS(word) (strcmp(words[0], word) == 0)
	if (IS("get")) {
		status = spared_config_get(words[1], &value);
		return status ? status : spared_put_text(token, "value", value);
	} else if (IS("len")) {
		status = spared_config_len(words[1], &length);
		put(token, "length", length);
		return status;
	} else if (IS("key")) {
		status = spared_config_keys(words[1], (uint32_t)atoi(words[2]), &value);
		return status ? status : spared_put_text(token, "value", value);
	} else if (IS("type")) {
		status = spared_config_type(words[1], &length);
		put(token, "type", length);
		return status;
	} else if (IS("timer")) {
		return spared_timer((uint32_t)atoi(words[1]), spared_now() + (uint64_t)atoi(words[2]) * 1000000);
	} else if (IS("both")) {
		return both();
	} else if (IS("thread")) {
		return -pthread_create(&thread, NULL, other_thread, NULL);
	} else if (IS("join")) {
		return -pthread_join(thread, NULL);
	} else if (IS("finish")) {
		return spared_done(pending_token, atoi(words[1]));
	} else if (IS("pend")) {
		pending_token = token;
		return SPARED_PENDING;
	} else if (IS("attend")) {
		return SPARED_ATTENTION;
	} else if (IS("put")) {
		return spared_put_u64(pending_token, words[1], SPARED_ROW_NUMBER, (uint64_t)atoi(words[2]));
	} else if (IS("fill")) {
		return fill(token);
	} else if (IS("follow")) {
		return spared_follow(words[1], SPARED_SOCKETS_PING);
	} else if (IS("unfollow")) {
		return spared_unfollow(words[1]);
	} else if (IS("watch")) {
		return spared_watch((uint32_t)atoi(words[1]));
	} else if (IS("send")) {
		to_send = (uint64_t)atoi(words[1]), send_bytes = (uint64_t)atoi(words[2]);
		return send_more();
	} else if (IS("too-long")) {
		return spared_send((struct spared_bytes){ long_message, sizeof(long_message) });
	} else if (IS("nap")) {
		nap_us = (unsigned)atoi(words[1]);
		return 0;
	} else if (IS("in_sync") || IS("in-sync")) {
		spared_in_sync(atoi(words[1]), spared_text(words[2]));
		return 0;
	} else if (IS("report")) {
		return spared_report(words[1], (uint32_t)atoi(words[2]), (uint32_t)atoi(words[3]), spared_text("because"));
	} else if (IS("forget")) {
		return spared_forget(words[1]);
	} else if (IS("messenger")) {
		return show_messages(token);
	} else if (IS("flood")) {
		return flood();
	} else if (IS("leak")) {
		return leak();
	} else if (IS("state")) {
		return show_state(token);
	}
	spared_fail(NULL, spared_text("usage: probe WORD"));
	return -EINVAL;
}

SPARED_PLUGIN(
	SPARED_NAME("probe") SPARED_VERSION("0.1") SPARED_VENDOR("tests") SPARED_SUMMARY("does what it is told")
	SPARED_WIRE("1-2") SPARED_ROLES SPARED_TRANSFER SPARED_QUERY SPARED_INTERFACES SPARED_PEER SPARED_WATCH
	SPARED_ASKS("in-sync", "YES WHY", "reports that the peer is in sync, or not")
	SPARED_ASKS("state", "", "shows what it has seen"),
	.destroy = destroy,
	.configure = configure,
	.start = start,
	.stop = stop,
	.fd = fd,
	.timer = timer,
	.woken = woken,
	.role = role,
	.settle = settle,
	.query = query,
	.changed = changed,
	.up = up,
	.down = down,
	.message = message,
	.writable = writable,
	.status = status);
