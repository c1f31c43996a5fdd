/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Does what a test tells it by queries, and says what came of it in rows.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spared_plugin.h"

#ifndef PROBE_NAME
#define PROBE_NAME "probe"
#endif
#ifdef PROBE_PATH
#define PROBE_PATHS SPARED_PATH(PROBE_PATH)
#else
#define PROBE_PATHS
#endif

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

static uint64_t number_in(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return UINT64_MAX;
	close(fd);
	return strtoull(text, NULL, 10);
}

/* errno of making a child in a user namespace of its own, 0 where there is one. */
static uint64_t of_new_user(void)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	if (child < 0)
		return (uint64_t)errno;
	waitpid((pid_t)child, NULL, 0);
	return 0;
}

/* CPU time of this thread. */
static int64_t cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static uint64_t status_of(const char *field)
{
	char line[256];
	uint64_t value = 0;
	size_t length = strlen(field);
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			value = strtoull(line + length + 1, NULL, field[0] == 'C' ? 16 : 10);
	if (status)
		fclose(status);
	return value;
}

static void hang(void)
{
	for (;;)
		pause();
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
		spared_report("early", 100, 100, spared_text(""));
	}
	if (spared_config_get("hang_in_check", &value) == 0)
		hang();
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
	struct spared_str value;

	(void)self;
	touch("stopped");
	if (spared_config_get("hang_in_stop", &value) == 0)
		hang();
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
	case 666:
		for (volatile int spin = 1; spin;)
			;
		return 0;
	case 667:
		while (cpu_ms() < 500)
			;
		return 0;
	case 777:
		hang();
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

static spared_status status(void *self, const struct spared_verdict *pair)
{
	(void)self;
	snprintf(last_status, sizeof(last_status), "%u %u %d %d %.*s %zu %zu", pair->verdict, pair->quality, pair->ready,
	         pair->link_up, (int)pair->peer.len, pair->peer.ptr, pair->group_count, pair->finding_count);
	return 0;
}

static void *other_thread(void *argument)
{
	spared_logf(SPARED_INFO, "from another thread");
	if (spared_timer(1, 1) == -EPERM)
		spared_logf(SPARED_INFO, "was refused");
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

static uint64_t errno_of(int failed)
{
	return failed ? (uint64_t)errno : 0;
}

static spared_status show_confinement(uint64_t token)
{
	struct rlimit processes;

	put(token, "uid", getuid());
	put(token, "permitted", status_of("CapPrm"));
	put(token, "effective", status_of("CapEff"));
	put(token, "bounding", status_of("CapBnd"));
	put(token, "ambient", status_of("CapAmb"));
	put(token, "no_new_privs", status_of("NoNewPrivs"));
	put(token, "seccomp", status_of("Seccomp"));
	put(token, "locked_kb", status_of("VmLck"));
	put(token, "policy", (uint64_t)sched_getscheduler(0) & 0xff);
	/* nothing is there: a worker that may mount hides no file of this machine by trying */
	put(token, "mount", errno_of(mount("none", "/nonexistent", "tmpfs", 0, NULL)));
	put(token, "secret", errno_of(open("/etc/shadow", O_RDONLY) < 0));
	put(token, "tmp", errno_of(open("/tmp/spared-probe", O_CREAT | O_RDWR, 0600) < 0));
	put(token, "library", errno_of(open("/usr/lib/os-release", O_RDONLY) < 0));
	put(token, "inherited", errno_of(fcntl(100, F_GETFD) < 0));
	getrlimit(RLIMIT_NPROC, &processes);
	put(token, "processes", processes.rlim_max);
	put(token, "out_of_memory_score", number_in("/proc/self/oom_score_adj"));
	put(token, "new_user", of_new_user());
	put(token, "clone3", errno_of(syscall(SYS_clone3, NULL, 0) < 0));
	touch("written");
	return 0;
}

static spared_status reach_sibling(uint64_t token, pid_t pid)
{
	cpu_set_t cpus;
	struct rlimit limit;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	getrlimit(RLIMIT_CORE, &limit);
	put(token, "signal", errno_of(kill(pid, 0)));
	put(token, "affinity", errno_of(sched_setaffinity(pid, sizeof(cpus), &cpus)));
	put(token, "limit", errno_of(prlimit(pid, RLIMIT_CORE, &limit, NULL)));
	return 0;
}

static spared_status replace(uint64_t token, const char *path)
{
	char beside[512];
	int fd;

	snprintf(beside, sizeof(beside), "%s.new", path);
	fd = open(beside, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	put(token, "errno", errno_of(fd < 0 || write(fd, "new", 3) != 3 || rename(beside, path)));
	return 0;
}

static spared_status close_all(void)
{
	for (int other = 3; other < 100; other++)
		close(other);
	return 0;
}

static spared_status run_child(char *script)
{
	char shell[] = "/bin/sh", option[] = "-c", *argv[] = { shell, option, script, NULL };
	pid_t pid;

	return posix_spawn(&pid, shell, NULL, NULL, argv, environ);
}

static spared_status document(void *self, uint64_t ticket, spared_status status, struct spared_str text)
{
	(void)self;
	spared_logf(SPARED_INFO, "document %d: status %d, %zu bytes, the last %.*s", (int)ticket, (int)status, text.len,
	            text.len ? 1 : 0, text.len ? text.ptr + text.len - 1 : "");
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
	} else if (IS("document")) {
		return spared_document((uint64_t)atoi(words[1]), (uint32_t)atoi(words[2]));
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
	} else if (IS("latin")) {
		spared_log(SPARED_INFO, spared_text("gr\xfc\xdf" "e"));
		return 0;
	} else if (IS("declare")) {
		return spared_declare(words[1], SPARED_SCOPE_NODE);
	} else if (IS("close")) {
		return close_all();
	} else if (IS("confinement")) {
		return show_confinement(token);
	} else if (IS("sibling")) {
		return reach_sibling(token, atoi(words[1]));
	} else if (IS("open")) {
		put(token, "errno", errno_of(open(words[1], O_RDONLY) < 0));
		return 0;
	} else if (IS("open-to-write")) {
		put(token, "errno", errno_of(open(words[1], O_WRONLY | O_TRUNC) < 0));
		return 0;
	} else if (IS("replace")) {
		return replace(token, words[1]);
	} else if (IS("child")) {
		return run_child(words[1]);
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
	SPARED_NAME(PROBE_NAME) PROBE_PATHS SPARED_VERSION("0.1") SPARED_VENDOR("tests") SPARED_SUMMARY("does what it is told")
	SPARED_REALTIME SPARED_CAPABILITY("net_bind_service") SPARED_WIRE("1-2") SPARED_ROLES SPARED_TRANSFER SPARED_QUERY SPARED_INTERFACES SPARED_PEER SPARED_WATCH SPARED_DOCUMENTS
	SPARED_ASKS("in-sync", "YES WHY", "reports that the peer is in sync, or not")
	SPARED_ASKS("open", "FILE", "opens a file to read")
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
	.status = status,
	.document = document);
