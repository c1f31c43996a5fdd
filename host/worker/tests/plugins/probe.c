/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Does what a test tells it by queries, and says what came of it in rows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spared/plugin.h>

#ifndef PROBE_NAME
#define PROBE_NAME "probe"
#endif

static const struct spared_host *host;
static char *const argv_of_none[] = { 0 };
static char state_dir[256];
static uint64_t slow_token;
static uint64_t pending_token;
static uint32_t timers_seen, woken_seen, fds_seen, changes_seen, directives_seen;
static uint64_t last_fd_bytes;
static int last_socket = -1;
static char last_event[256], last_directive[256], order[256];
static pthread_t thread;
static uint64_t messages_seen, bytes_seen, faults_seen, settled_at, to_send, sent, send_bytes;
static uint32_t writables_seen, nap_us;
static char last_peer[256];
static char last_proof[256];

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
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (fd >= 0)
		close(fd);
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

/* Texts of the host end by their length, not by a NUL. */
static uint64_t number_of(struct spared_str value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)value.len, value.ptr);
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

static spared_status create(const struct spared_host *given, void **self)
{
	(void)argv_of_none;
	host = given;
	*self = &host;
	return 0;
}

static void destroy(void *self)
{
	(void)self;
	if (*state_dir)
		touch("destroyed");
}

static const struct spared_scope *scopes(void)
{
	return host->extension(host->ctx, SPARED_SCOPE);
}

static const struct spared_check *checks(void)
{
	return host->extension(host->ctx, SPARED_CHECK);
}

static const struct spared_peer *peers(void)
{
	return host->extension(host->ctx, SPARED_PEER);
}

static const struct spared_identity *identities(void)
{
	return host->extension(host->ctx, SPARED_IDENTITY);
}

static spared_status configure(void *self, struct spared_str toml, uint32_t flags)
{
	struct spared_str value;

	(void)self, (void)toml;
	if (host->config_get(host->ctx, "wrong", &value) == 0) {
		host->fail(host->ctx, "wrong", spared_text("found a value, allowed none"));
		host->fail(host->ctx, "group.0.name", spared_text("missing"));
		return -EINVAL;
	}
	if (host->config_get(host->ctx, "restart", &value) == 0)
		return SPARED_RESTART;
	if (host->config_get(host->ctx, "scope", &value) == 0) {
		scopes()->declare(host->ctx, "server.interface", SPARED_SCOPE_NODE);
		scopes()->declare(host->ctx, "server.secret", SPARED_SCOPE_LOCAL);
		if (scopes()->declare(host->ctx, "server", 9) != -EINVAL ||
		    scopes()->declare(host->ctx, "", SPARED_SCOPE_PAIR) != -EINVAL)
			return -EIO;
		checks()->report(host->ctx, "early", 100, 100, spared_text(""));
	}
	if (!(flags & SPARED_CONFIGURE_CHECK) &&
	    host->config_get(host->ctx, "state_dir", &value) == 0)
		snprintf(state_dir, sizeof(state_dir), "%.*s", (int)value.len, value.ptr);
	if (!(flags & SPARED_CONFIGURE_CHECK) &&
	    host->config_get(host->ctx, "follow", &value) == 0) {
		char name[16];
		const struct spared_interface *interface =
			host->extension(host->ctx, SPARED_INTERFACE);

		snprintf(name, sizeof(name), "%.*s", (int)value.len, value.ptr);
		return interface->follow(host->ctx, name, SPARED_SOCKETS_NONE);
	}
	if (host->config_get(host->ctx, "hang_in_check", &value) == 0)
		for (;;)
			pause();
	return 0;
}

/* With the key, done() follows after so many ms; 0: never. */
static spared_status later(const char *key, uint64_t token)
{
	struct spared_str value;

	if (host->config_get(host->ctx, key, &value))
		return 0;
	slow_token = token;
	if (number_of(value))
		host->timer(host->ctx, 555, host->now(host->ctx) + number_of(value) * 1000000);
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
	if (host->config_get(host->ctx, "hang_in_stop", &value) == 0)
		for (;;)
			pause();
	return later("slow_stop", token);
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self;
	if (event->group.len == 4 && memcmp(event->group.ptr, "pend", 4) == 0) {
		pending_token = token;
		return SPARED_PENDING;
	}
	if (event->group.len == 5 && memcmp(event->group.ptr, "early", 5) == 0) {
		host->done(host->ctx, token, 0);
		return SPARED_PENDING;
	}
	return event->role == SPARED_ROLE_FAULT ? -EIO : 0;
}

static spared_status fd(void *self, int ready, uint32_t events)
{
	char buffer[64];
	ssize_t n;

	(void)self, (void)events;
	note("fd");
	fds_seen++;
	n = read(ready, buffer, sizeof(buffer));
	if (n <= 0)
		host->watch_fd(host->ctx, ready, 0);
	else
		last_fd_bytes += (uint64_t)n;
	return 0;
}

/* CPU time of this thread. */
static int64_t cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static spared_status timer(void *self, uint32_t id)
{
	(void)self;
	note("timer");
	timers_seen++;
	switch (id) {
	case 555:
		return host->done(host->ctx, slow_token, 0);
	case 666:
		for (volatile int spin = 1; spin;)
			;
		return 0;
	case 667:
		while (cpu_ms() < 500)
			;
		return 0;
	case 777:
		for (;;)
			pause();
	case 888:
		return -EIO;
	case 999:
		return -ENOTRECOVERABLE;
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

static spared_status changed(void *self, const struct spared_interface_event *event)
{
	(void)self;
	note("changed");
	changes_seen++;
	snprintf(last_event, sizeof(last_event), "%.*s flags %u index %u mtu %u mac %02x addresses %u sockets %u",
	         (int)event->name.len, event->name.ptr, event->flags, event->index, event->mtu,
	         event->mac[5], event->address_count, event->socket_count);
	last_socket = event->socket_count ? event->sockets[0].fd : -1;
	if (last_socket >= 0)
		host->watch_fd(host->ctx, last_socket, SPARED_FD_READ);
	return 0;
}

static spared_status directive(void *self, const struct spared_directive *event)
{
	(void)self;
	directives_seen++;
	snprintf(last_directive, sizeof(last_directive), "%.*s %u %u %u %u %.*s", (int)event->group.len,
	         event->group.ptr, event->flags, event->quality, event->peer_quality, event->forced,
	         (int)event->why.len, event->why.ptr);
	return 0;
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
	uint64_t number = 0;

	(void)self;
	if (bytes.len >= sizeof(number))
		memcpy(&number, bytes.ptr, sizeof(number));
	else if (bytes.len)
		note("short");
	if (bytes.len >= sizeof(number) && number != messages_seen)
		faults_seen++;
	messages_seen++;
	bytes_seen += bytes.len;
	if (nap_us)
		usleep(nap_us);
	return 0;
}

static spared_status signature(void *self, uint64_t ticket, struct spared_bytes bytes)
{
	(void)self;
	snprintf(last_proof, sizeof(last_proof), "signature %llu: %zu bytes of %u",
	         (unsigned long long)ticket, bytes.len, bytes.ptr[0]);
	return 0;
}

static spared_status verified(void *self, uint64_t ticket, uint32_t yes)
{
	(void)self;
	snprintf(last_proof, sizeof(last_proof), "verified %llu: %u", (unsigned long long)ticket, yes);
	return 0;
}

/* A statement of sevens, and a signature of eights. */
static spared_status ask(const char *what, uint64_t ticket, size_t length, size_t signature_length)
{
	static uint8_t sevens[SPARED_IDENTITY_STATEMENT_MAX + 1], eights[65];
	struct spared_bytes statement = { .ptr = sevens, .len = length };
	struct spared_bytes by = { .ptr = eights, .len = signature_length };

	memset(sevens, 7, sizeof(sevens));
	memset(eights, 8, sizeof(eights));
	if (!strcmp(what, "sign"))
		return identities()->sign(host->ctx, ticket, statement);
	return identities()->verify(host->ctx, ticket, statement, by);
}

static spared_status send_more(void)
{
	static uint8_t buffer[SPARED_PEER_MESSAGE_MAX];
	struct spared_bytes bytes = { .ptr = buffer, .len = send_bytes };
	spared_status status = 0;

	for (; to_send; to_send--, sent++) {
		memcpy(buffer, &sent, sizeof(sent));
		status = peers()->send(host->ctx, bytes);
		if (status)
			break;
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

static void *other_thread(void *argument)
{
	(void)argument;
	spared_logf(host, SPARED_LOG_INFO, "from another thread");
	if (host->timer(host->ctx, 1, 1) == -EPERM)
		spared_logf(host, SPARED_LOG_INFO, "was refused");
	for (int i = 0; i < 1000; i++)
		host->wake(host->ctx);
	return NULL;
}

static const struct spared_interface *interfaces(void)
{
	return host->extension(host->ctx, SPARED_INTERFACE);
}

static const struct spared_group *groups(void)
{
	return host->extension(host->ctx, SPARED_GROUP);
}

static struct spared_cause cause_of(uint32_t kind)
{
	return (struct spared_cause){ .size = sizeof(struct spared_cause), .kind = kind, .own = 73,
	                              .theirs = 100, .peer = spared_text("r2"),
	                              .text = spared_text("lan is \xff\n down") };
}

/* how: a kind, or what is wrong with the cause. */
static spared_status publish(const char *group, uint32_t role, const char *how)
{
	struct spared_cause cause = cause_of(*how ? (uint32_t)atoi(how) : SPARED_CAUSE_QUALITY);
	if (!strcmp(how, "small"))
		cause.size = offsetof(struct spared_cause, text);
	struct spared_publication element = { .size = sizeof(element), .flags = SPARED_PUBLISH_REOPEN,
		                              .group = spared_text(group), .role = role,
		                              .cause = strcmp(how, "none") ? &cause : NULL };
	return groups()->publish(host->ctx, &element, 1, NULL);
}

static spared_status claim_of(const char *group, const struct spared_claims *claims)
{
	struct spared_group_claim element = { .size = sizeof(element), .group = spared_text(group),
		                              .claims = claims };
	return groups()->claim(host->ctx, &element, 1, NULL);
}

/* Publishes groups, of which the second has no name and the third is the first once more; their
 * statuses go into rows. */
static spared_status publish_many(uint64_t token, uint32_t count, int is_long)
{
	static struct spared_publication elements[SPARED_GROUPS_MAX + 1];
	static spared_status statuses[SPARED_GROUPS_MAX + 1];
	static char names[SPARED_GROUPS_MAX + 1][16];
	struct spared_cause cause = cause_of(SPARED_CAUSE_QUALITY);
	static char text[1000];
	uint32_t index;
	spared_status status;

	memset(text, 'x', sizeof(text));
	if (is_long)
		cause.text = (struct spared_str){ text, sizeof(text) };
	for (index = 0; index < count && index <= SPARED_GROUPS_MAX; index++) {
		snprintf(names[index], sizeof(names[index]), "group%u", index == 2 ? 0 : index);
		elements[index] = (struct spared_publication){
			.size = sizeof(elements[0]), .group = spared_text(index == 1 ? "" : names[index]),
			.role = SPARED_ROLE_ACTIVE, .cause = &cause };
		statuses[index] = 77;
	}
	status = groups()->publish(host->ctx, elements, count, statuses);
	for (index = 0; index < count && index < 8; index++) {
		snprintf(names[0], sizeof(names[0]), "status.%u", index);
		host->put_i64(host->ctx, token, names[0], SPARED_ROW_NUMBER, statuses[index]);
	}
	host->put_i64(host->ctx, token, "status.last", SPARED_ROW_NUMBER, statuses[count - 1]);
	host->put_i64(host->ctx, token, "result", SPARED_ROW_NUMBER, status);
	return 0;
}

static spared_status claim(const char *group)
{
	struct spared_virtual_router_claim router = { .size = sizeof(router), .flags = SPARED_VIRTUAL_ROUTER_VMAC,
		                              .interface = spared_text("lan2"), .family = 4, .vrid = 50 };
	struct spared_address_claim address = { .size = sizeof(address), .virtual_router = 0, .family = 4,
		                                .prefix = 24, .interface = spared_text("lan2"),
		                                .octets = { 192, 168, 200, 1 } };
	struct spared_claims claims = { .size = sizeof(claims), .virtual_routers = &router,
		                        .addresses = &address, .virtual_router_count = 1,
		                        .address_count = 1, .lease_ns = 250000000 };
	return claim_of(group, &claims);
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

static void put(uint64_t token, const char *key, uint64_t value)
{
	host->put_u64(host->ctx, token, key, SPARED_ROW_NUMBER, value);
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)
{
	char words[4][128] = { { 0 } };
	struct spared_str value;
	uint32_t length;
	spared_status status;

	(void)self;
	for (uint32_t i = 0; i < argc && i < 4; i++)
		snprintf(words[i], sizeof(words[i]), "%.*s", (int)argv[i].len, argv[i].ptr);
	if (!strcmp(words[0], "get")) {
		status = host->config_get(host->ctx, words[1], &value);
		return status ? status : host->put_text(host->ctx, token, "value", value);
	} else if (!strcmp(words[0], "len")) {
		status = host->config_len(host->ctx, words[1], &length);
		put(token, "length", length);
		return status;
	} else if (!strcmp(words[0], "timer")) {
		return host->timer(host->ctx, (uint32_t)atoi(words[1]),
		                   host->now(host->ctx) + (uint64_t)atoi(words[2]) * 1000000);
	} else if (!strcmp(words[0], "both")) {
		/* A descriptor and a timer that are due at once, after a nap like SIGSTOP's. */
		int ends[2];
		if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) || write(ends[1], "x", 1) != 1)
			return -EIO;
		host->timer(host->ctx, 1, host->now(host->ctx));
		order[0] = 0;
		return host->watch_fd(host->ctx, ends[0], SPARED_FD_READ);
	} else if (!strcmp(words[0], "thread")) {
		return -pthread_create(&thread, NULL, other_thread, NULL);
	} else if (!strcmp(words[0], "join")) {
		pthread_join(thread, NULL);
		return 0;
	} else if (!strcmp(words[0], "finish")) {
		return host->done(host->ctx, pending_token, atoi(words[1]));
	} else if (!strcmp(words[0], "pend")) {
		pending_token = token;
		return SPARED_PENDING;
	} else if (!strcmp(words[0], "attend")) {
		return SPARED_ATTENTION;
	} else if (!strcmp(words[0], "put")) {
		return host->put_u64(host->ctx, pending_token, words[1], SPARED_ROW_NUMBER, (uint64_t)atoi(words[2]));
	} else if (!strcmp(words[0], "fill")) {
		char big[1000];
		memset(big, 'x', sizeof(big));
		value.ptr = big, value.len = sizeof(big);
		for (length = 0; host->put_text(host->ctx, token, "row", value) == 0; length++)
			;
		return host->put_text(host->ctx, token, "row", value);
	} else if (!strcmp(words[0], "follow")) {
		return interfaces()->follow(host->ctx, words[1], SPARED_SOCKETS_VRRP);
	} else if (!strcmp(words[0], "unfollow")) {
		return interfaces()->unfollow(host->ctx, words[1]);
	} else if (!strcmp(words[0], "claim")) {
		return claim(words[1]);
	} else if (!strcmp(words[0], "withdraw")) {
		return claim_of(words[1], NULL);
	} else if (!strcmp(words[0], "publish-many")) {
		return publish_many(token, (uint32_t)atoi(words[1]), *words[2]);
	} else if (!strcmp(words[0], "publish")) {
		return publish(words[1], (uint32_t)atoi(words[2]), words[3]);
	} else if (!strcmp(words[0], "explain")) {
		struct spared_cause cause = cause_of(SPARED_CAUSE_QUALITY);
		return groups()->explain(host->ctx, words[1], (uint32_t)atoi(words[2]), &cause);
	} else if (!strcmp(words[0], "announce")) {
		struct spared_str name = spared_text(words[1]);
		return groups()->announce(host->ctx, &name, 1, NULL);
	} else if (!strcmp(words[0], "send")) {
		to_send = (uint64_t)atoi(words[1]), send_bytes = (uint64_t)atoi(words[2]);
		return send_more();
	} else if (!strcmp(words[0], "sign") || !strcmp(words[0], "verify")) {
		return ask(words[0], (uint64_t)atoi(words[1]), (size_t)atoi(words[2]),
		           (size_t)atoi(words[3]));
	} else if (!strcmp(words[0], "proof")) {
		return host->put_text(host->ctx, token, "proof", spared_text(last_proof));
	} else if (!strcmp(words[0], "too-long")) {
		static uint8_t buffer[SPARED_PEER_MESSAGE_MAX + 1];
		return peers()->send(host->ctx, (struct spared_bytes){ buffer, sizeof(buffer) });
	} else if (!strcmp(words[0], "nap")) {
		nap_us = (uint32_t)atoi(words[1]);
		return 0;
	} else if (!strcmp(words[0], "in_sync") || !strcmp(words[0], "in-sync")) {
		return peers()->in_sync(host->ctx, (uint32_t)atoi(words[1]), spared_text(words[2]));
	} else if (!strcmp(words[0], "report")) {
		return checks()->report(host->ctx, words[1], (uint32_t)atoi(words[2]),
		                        (uint32_t)atoi(words[3]), spared_text("because"));
	} else if (!strcmp(words[0], "forget")) {
		return checks()->forget(host->ctx, words[1]);
	} else if (!strcmp(words[0], "declare")) {
		return scopes()->declare(host->ctx, words[1], SPARED_SCOPE_NODE);
	} else if (!strcmp(words[0], "messenger")) {
		put(token, "messages", messages_seen);
		put(token, "bytes", bytes_seen);
		put(token, "faults", faults_seen);
		put(token, "settled_at", settled_at);
		put(token, "sent", sent);
		put(token, "writables", writables_seen);
		host->put_text(host->ctx, token, "peer", spared_text(last_peer));
		return host->put_text(host->ctx, token, "order", spared_text(order));
	} else if (!strcmp(words[0], "flood")) {
		for (int i = 0; i < 20000; i++)
			spared_logf(host, SPARED_LOG_INFO, "flood %d", i);
		return 0;
	} else if (!strcmp(words[0], "close")) {
		for (int other = 3; other < 100; other++)
			close(other);
		return 0;
	} else if (!strcmp(words[0], "leak")) {
		while (open("/dev/null", O_RDONLY) >= 0)
			;
		return 0;
	} else if (!strcmp(words[0], "confinement")) {
		put(token, "uid", getuid());
		put(token, "permitted", status_of("CapPrm"));
		put(token, "effective", status_of("CapEff"));
		put(token, "bounding", status_of("CapBnd"));
		put(token, "ambient", status_of("CapAmb"));
		put(token, "no_new_privs", status_of("NoNewPrivs"));
		put(token, "seccomp", status_of("Seccomp"));
		put(token, "locked_kb", status_of("VmLck"));
		put(token, "policy", (uint64_t)sched_getscheduler(0) & 0xff);
		// nothing is there: a worker that may mount hides no file of this machine by trying
		put(token, "mount", mount("none", "/nonexistent", "tmpfs", 0, NULL) ? (uint64_t)errno : 0);
		put(token, "secret", open("/etc/shadow", O_RDONLY) < 0 ? (uint64_t)errno : 0);
		put(token, "tmp", open("/tmp/spared-probe", O_CREAT | O_RDWR, 0600) < 0 ? (uint64_t)errno : 0);
		put(token, "library", open("/usr/lib/os-release", O_RDONLY) < 0 ? (uint64_t)errno : 0);
		put(token, "inherited", fcntl(100, F_GETFD) < 0 ? (uint64_t)errno : 0);
		struct rlimit processes;
		getrlimit(RLIMIT_NPROC, &processes);
		put(token, "processes", processes.rlim_max);
		put(token, "out_of_memory_score", number_in("/proc/self/oom_score_adj"));
		put(token, "new_user", of_new_user());
		put(token, "clone3", syscall(SYS_clone3, NULL, 0) < 0 ? (uint64_t)errno : 0);
		touch("written");
		return 0;
	} else if (!strcmp(words[0], "sibling")) {
		pid_t pid = atoi(words[1]);
		cpu_set_t cpus;
		struct rlimit limit;
		sched_getaffinity(0, sizeof cpus, &cpus);
		getrlimit(RLIMIT_CORE, &limit);
		put(token, "signal", kill(pid, 0) ? (uint64_t)errno : 0);
		put(token, "affinity", sched_setaffinity(pid, sizeof cpus, &cpus) ? (uint64_t)errno : 0);
		put(token, "limit", prlimit(pid, RLIMIT_CORE, &limit, NULL) ? (uint64_t)errno : 0);
		return 0;
	} else if (!strcmp(words[0], "open")) {
		return put(token, "errno", open(words[1], O_RDONLY) < 0 ? (uint64_t)errno : 0), 0;
	} else if (!strcmp(words[0], "replace")) {
		char beside[512];

		snprintf(beside, sizeof(beside), "%s.new", words[1]);
		int fd = open(beside, O_CREAT | O_WRONLY | O_TRUNC, 0644);
		int failed = fd < 0 || write(fd, "new", 3) != 3 || rename(beside, words[1]);
		return put(token, "errno", failed ? (uint64_t)errno : 0), 0;
	} else if (!strcmp(words[0], "child")) {
		pid_t pid;
		char *const argv[] = { "/bin/sh", "-c", words[1], NULL };

		return posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	} else if (!strcmp(words[0], "open-to-write")) {
		return put(token, "errno",
		           open(words[1], O_WRONLY | O_TRUNC) < 0 ? (uint64_t)errno : 0), 0;
	} else if (!strcmp(words[0], "state")) {
		put(token, "timers", timers_seen);
		put(token, "woken", woken_seen);
		put(token, "fds", fds_seen);
		put(token, "bytes", last_fd_bytes);
		put(token, "changes", changes_seen);
		put(token, "directives", directives_seen);
		host->put_text(host->ctx, token, "event", spared_text(last_event));
		host->put_text(host->ctx, token, "directive", spared_text(last_directive));
		return host->put_text(host->ctx, token, "order", spared_text(order));
	}
	host->fail(host->ctx, NULL, spared_text("usage: probe WORD"));
	return -EINVAL;
}

static const void *extension(const char *id)
{
	static const struct spared_interface_plugin interface = { .size = sizeof(interface),
		                                                  .changed = changed };
	static const struct spared_group_plugin group = { .size = sizeof(group), .directive = directive };

	static const struct spared_peer_plugin peer = { .size = sizeof(peer), .up = up, .down = down,
		                                        .message = message, .writable = writable };

	static const struct spared_identity_plugin identity = { .size = sizeof(identity),
		                                                    .signature = signature,
		                                                    .verified = verified };

	if (!strcmp(id, SPARED_IDENTITY))
		return &identity;
	if (!strcmp(id, SPARED_PEER))
		return &peer;
	if (!strcmp(id, SPARED_INTERFACE))
		return &interface;
	return strcmp(id, SPARED_GROUP) ? NULL : &group;
}

/* For a host, which passes on nothing but a plugin's verbs. */
static const struct spared_verb verbs[] = {
	SPARED_VERB(SPARED_VERB_ASKS, "in-sync", "YES WHY", "reports that the peer is in sync, or not"),
	SPARED_VERB(SPARED_VERB_ASKS, "open", "FILE", "opens a file to read"),
};

SPARED_PLUGIN(
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.flags = SPARED_PLUGIN_REALTIME,
	.wire_min = 1,
	.wire_max = 2,
	.capabilities = 1 << 10,
	.name = PROBE_NAME,
	.version = "0.1",
	.vendor = "tests",
	.summary = "does what it is told",
	.create = create,
	.destroy = destroy,
	.configure = configure,
	.start = start,
	.stop = stop,
	.settle = settle,
	.role = role,
	.fd = fd,
	.timer = timer,
	.woken = woken,
	.query = query,
	.extension = extension);
