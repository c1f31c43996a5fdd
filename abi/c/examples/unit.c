/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Starts a systemd unit, or runs a command, when this node becomes active, and stops it otherwise.
 * Nothing here blocks: a pidfd becomes readable when the command has ended, and done() follows.
 *
 *     unit = "squid"                        # systemctl start squid, systemctl stop squid
 *
 *     start = ["/usr/sbin/mydaemon", "-D"]  # or both of these
 *     stop = ["/usr/bin/pkill", "mydaemon"]
 *
 *     cc -shared -fPIC -fvisibility=hidden -I.. -o unit.so unit.c ../spared_plugin.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spared_plugin.h"

#define WORDS_MAX 16

extern char **environ;

struct unit {
	char *start[WORDS_MAX + 1], *stop[WORDS_MAX + 1];
	int pidfd;         /* of the running command, or -1 */
	int active;        /* by the newest role */
	int ran;           /* the last command was start */
	uint64_t token;    /* of the newest role, until done() */
};

static void forget(char **argv)
{
	for (int i = 0; argv[i]; i++)
		free(argv[i]);
	argv[0] = NULL;
}

static spared_status create(void **self)
{
	struct unit *unit = calloc(1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	unit->pidfd = -1;
	*self = unit;
	return 0;
}

static void destroy(void *self)
{
	struct unit *unit = self;

	forget(unit->start);
	forget(unit->stop);
	free(unit);
}

static spared_status refuse(const char *key, const char *why)
{
	spared_fail(key, spared_text(why));
	return -EINVAL;
}

/* Reads an array of words; argv stays empty if the key is absent. */
static spared_status read_words(const char *key, char **argv)
{
	uint32_t n = 0;
	spared_status status = spared_config_len(key, &n);

	if (status == -ENOENT)
		return 0;
	if (status || n == 0 || n > WORDS_MAX)
		return refuse(key, "allowed: an array of 1 to 16 texts, a program and its arguments");
	for (uint32_t i = 0; i < n; i++) {
		char path[64];
		struct spared_str word;

		snprintf(path, sizeof(path), "%s.%u", key, i);
		status = spared_config_get(path, &word);
		if (status)
			return refuse(path, "allowed: a text");
		argv[i] = strndup(word.ptr, word.len);
		argv[i + 1] = NULL;
	}
	return 0;
}

static void systemctl(char **argv, const char *verb, struct spared_str unit)
{
	argv[0] = strdup("systemctl");
	argv[1] = strdup(verb);
	argv[2] = strndup(unit.ptr, unit.len);
	argv[3] = NULL;
}

/* Refuses unknown keys, since a mistyped one would go unnoticed. */
static spared_status refuse_unknown(void)
{
	static const char *const known[] = { "unit", "start", "stop" };
	struct spared_str name;
	spared_status status = 0;

	for (uint32_t i = 0; spared_config_keys("", i, &name) == 0; i++) {
		int is_known = 0;
		char key[64];

		for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
			is_known |= name.len == strlen(known[j]) &&
			            memcmp(name.ptr, known[j], name.len) == 0;
		snprintf(key, sizeof(key), "%.*s", (int)name.len, name.ptr);
		if (!is_known)
			status = refuse(key, "unknown key, allowed: start, stop, unit");
	}
	return status;
}

static spared_status configure(void *self, int check)
{
	struct unit *unit = self;
	char *start[WORDS_MAX + 1] = { 0 }, *stop[WORDS_MAX + 1] = { 0 };
	struct spared_str name;
	spared_status status = refuse_unknown();

	if (status)
		return status;
	if (spared_config_get("unit", &name) == 0) {
		systemctl(start, "start", name);
		systemctl(stop, "stop", name);
		status = 0;
	} else {
		status = read_words("start", start);
		if (!status)
			status = read_words("stop", stop);
		if (!status && (!start[0] || !stop[0]))
			status = refuse("unit", "missing: a unit, or both start and stop");
	}
	if (status || check) {
		forget(start);
		forget(stop);
		return status;
	}
	forget(unit->start);
	forget(unit->stop);
	memcpy(unit->start, start, sizeof(start));
	memcpy(unit->stop, stop, sizeof(stop));
	return 0;
}

/* Runs the command for the newest role. */
static spared_status run(struct unit *unit)
{
	char **argv = unit->active ? unit->start : unit->stop;
	pid_t pid;
	int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	unit->ran = unit->active;
	if (error) {
		char why[256];

		snprintf(why, sizeof(why), "cannot run %s: %s", argv[0], strerror(error));
		spared_fail(NULL, spared_text(why));
		return -error;
	}
	unit->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (unit->pidfd < 0)
		return -errno;
	spared_watch_fd(unit->pidfd, SPARED_FD_READ);
	return SPARED_PENDING;
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	struct unit *unit = self;

	unit->active = event->role == SPARED_ACTIVE;
	if (unit->pidfd >= 0) /* an older role, perhaps of another group, need not wait */
		spared_done(unit->token, 0);
	unit->token = token;
	return unit->pidfd < 0 ? run(unit) : SPARED_PENDING; /* runs after the present command */
}

/* The command has ended. */
static spared_status fd(void *self, int pidfd, uint32_t events)
{
	struct unit *unit = self;
	siginfo_t info = { 0 };
	spared_status status;

	(void)events;
	waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	spared_watch_fd(pidfd, 0);
	close(pidfd);
	unit->pidfd = -1;
	if (unit->ran != unit->active) { /* the role has changed meanwhile */
		status = run(unit);
		if (status == SPARED_PENDING)
			return 0;
	} else if (info.si_code == CLD_EXITED && info.si_status == 0) {
		status = 0;
	} else {
		spared_logf(SPARED_ERROR, "%s ended with status %d",
		            unit->ran ? "start" : "stop", info.si_status);
		status = -EIO;
	}
	spared_done(unit->token, status);
	return 0;
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)
{
	struct unit *unit = self;
	const char *state = unit->pidfd >= 0 ? "changing" : unit->ran ? "started" : "stopped";

	(void)argv;
	if (argc > 1)
		return refuse(NULL, "usage: unit [status]");
	return spared_put_text(token, "state", spared_text(state));
}

SPARED_PLUGIN(
	SPARED_NAME("unit") SPARED_VERSION("1.0") SPARED_VENDOR("spared")
	SPARED_SUMMARY("starts a unit or a command while active, stops it otherwise")
	SPARED_ROLES SPARED_QUERY
	SPARED_ASKS("", "", "says whether the unit runs")
	SPARED_ASKS("status", "", "says the same to sparectl status"),
	.create = create,
	.destroy = destroy,
	.configure = configure,
	.role = role,
	.fd = fd,
	.query = query);
