/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Returns a number that is no status from one of its callbacks: `callback` and `status` of its
 * file. Compiled with -DTEST_NAME="..." by the tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "spared_plugin.h"

static char callback[32];
static int number;
static int ends[2] = { -1, -1 };

static spared_status status_of(const char *name)
{
	return strcmp(callback, name) ? 0 : number;
}

static spared_status configure(void *self, int check)
{
	struct spared_str value = { "", 0 };
	char digits[32] = { 0 };

	(void)self;
	spared_config_get("callback", &value);
	snprintf(callback, sizeof(callback), "%.*s", (int)value.len, value.ptr);
	spared_config_get("status", &value);
	snprintf(digits, sizeof(digits), "%.*s", (int)value.len, value.ptr);
	number = atoi(digits);
	return check ? 0 : status_of("configure");
}

static spared_status start(void *self, uint64_t token)
{
	(void)self, (void)token;
	if (!strcmp(callback, "timer"))
		spared_timer(1, spared_now());
	if (!strcmp(callback, "woken"))
		spared_wake();
	if (!strcmp(callback, "fd") && pipe(ends) == 0 && write(ends[1], "x", 1) == 1)
		spared_watch_fd(ends[0], SPARED_FD_READ);
	if (!strcmp(callback, "changed"))
		return spared_follow("lan", SPARED_SOCKETS_NONE);
	return status_of("start");
}

static spared_status stop(void *self, uint64_t token)
{
	(void)self, (void)token;
	return status_of("stop");
}

static spared_status drain(void *self, uint64_t token, uint64_t deadline_ns)
{
	(void)self, (void)token, (void)deadline_ns;
	return status_of("drain");
}

static spared_status settle(void *self, uint64_t token, uint64_t deadline_ns)
{
	(void)self, (void)token, (void)deadline_ns;
	return status_of("settle");
}

/* "done": the role is through by done(), with that number. */
static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self, (void)event;
	if (!strcmp(callback, "done")) {
		spared_done(token, number);
		return SPARED_PENDING;
	}
	return status_of("role");
}

static spared_status fd(void *self, int ready, uint32_t events)
{
	(void)self, (void)events;
	spared_watch_fd(ready, 0);
	return status_of("fd");
}

static spared_status timer(void *self, uint32_t id)
{
	(void)self, (void)id;
	return status_of("timer");
}

static spared_status woken(void *self)
{
	(void)self;
	return status_of("woken");
}

static spared_status changed(void *self, const struct spared_interface *interface)
{
	(void)self, (void)interface;
	return status_of("changed");
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)
{
	(void)self, (void)token, (void)argv, (void)argc;
	return status_of("query");
}

SPARED_PLUGIN(
	SPARED_NAME(TEST_NAME) SPARED_VERSION("1") SPARED_VENDOR("tests") SPARED_SUMMARY("returns what is no status")
	SPARED_ROLES SPARED_TRANSFER SPARED_QUERY SPARED_INTERFACES
	SPARED_ASKS("status", "", "returns what is no status"),
	.configure = configure,
	.start = start,
	.stop = stop,
	.drain = drain,
	.settle = settle,
	.role = role,
	.fd = fd,
	.timer = timer,
	.woken = woken,
	.changed = changed,
	.query = query);
