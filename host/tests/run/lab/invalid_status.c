/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Returns a number that is no status from one of its callbacks: `callback` and `status` of its
 * file. Compiled with -DTEST_NAME="..." by the tests.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <spared/plugin.h>

static const struct spared_host *host;
static char callback[32];
static int number;
static int ends[2] = { -1, -1 };

static spared_status status_of(const char *name)
{
	return strcmp(callback, name) ? 0 : number;
}

static spared_status create(const struct spared_host *given, void **self)
{
	host = given;
	*self = &host;
	return 0;
}

static void destroy(void *self)
{
	(void)self;
}

static spared_status configure(void *self, struct spared_str toml, uint32_t flags)
{
	struct spared_str value;
	char digits[32] = { 0 };

	(void)self, (void)toml;
	host->config_get(host->ctx, "callback", &value);
	snprintf(callback, sizeof(callback), "%.*s", (int)value.len, value.ptr);
	host->config_get(host->ctx, "status", &value);
	snprintf(digits, sizeof(digits), "%.*s", (int)value.len, value.ptr);
	number = atoi(digits);
	return flags & SPARED_CONFIGURE_CHECK ? 0 : status_of("configure");
}

static spared_status start(void *self, uint64_t token)
{
	(void)self, (void)token;
	if (!strcmp(callback, "timer"))
		host->timer(host->ctx, 1, host->now(host->ctx));
	if (!strcmp(callback, "woken"))
		host->wake(host->ctx);
	if (!strcmp(callback, "fd") && pipe(ends) == 0 && write(ends[1], "x", 1) == 1)
		host->watch_fd(host->ctx, ends[0], SPARED_FD_READ);
	if (!strcmp(callback, "changed")) {
		const struct spared_interface *interface =
			host->extension(host->ctx, SPARED_INTERFACE);

		return interface->follow(host->ctx, "lan", SPARED_SOCKETS_NONE);
	}
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
		host->done(host->ctx, token, number);
		return SPARED_PENDING;
	}
	return status_of("role");
}

static spared_status fd(void *self, int ready, uint32_t events)
{
	(void)self, (void)events;
	host->watch_fd(host->ctx, ready, 0);
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

static spared_status changed(void *self, const struct spared_interface_event *event)
{
	(void)self, (void)event;
	return status_of("changed");
}

static spared_status directive(void *self, const struct spared_directive *event)
{
	(void)self, (void)event;
	return status_of("directive");
}

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, uint32_t argc)
{
	(void)self, (void)token, (void)argv, (void)argc;
	return status_of("query");
}

static const void *extension(const char *id)
{
	static const struct spared_interface_plugin interface = { .size = sizeof(interface),
		                                                  .changed = changed };

	static const struct spared_group_plugin group = { .size = sizeof(group), .directive = directive };

	if (!strcmp(id, SPARED_INTERFACE))
		return &interface;
	/* Only a plugin that decides roles is told of them. */
	return strcmp(id, SPARED_GROUP) || strcmp(TEST_NAME, "elector") ? NULL : &group;
}

static const struct spared_verb verbs[] = {
	SPARED_VERB(SPARED_VERB_ASKS, "status", NULL, "returns what is no status"),
};

SPARED_PLUGIN(
	.name = TEST_NAME,
	.version = "1",
	.vendor = "tests",
	.summary = "returns what is no status",
	.create = create,
	.destroy = destroy,
	.configure = configure,
	.start = start,
	.stop = stop,
	.drain = drain,
	.settle = settle,
	.role = role,
	.fd = fd,
	.timer = timer,
	.woken = woken,
	.query = query,
	.extension = extension,
	.verbs = verbs,
	.verb_count = 1);
