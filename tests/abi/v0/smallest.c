/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The smallest useful plugin: logs the roles of groups.
 *
 *     cc -shared -fPIC -fvisibility=hidden -o smallest.so smallest.c
 */
#include <spared/plugin.h>

static spared_status create(const struct spared_host *host, void **self)
{
	*self = (void *)host; /* its only state */
	return 0;
}

static void destroy(void *self)
{
	(void)self;
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	const struct spared_host *host = self;
	const char *name = event->role == SPARED_ROLE_ACTIVE ? "active" : "not active";

	(void)token; /* for plugins that return SPARED_PENDING */
	spared_logf(host, SPARED_LOG_INFO, "%.*s is %s", (int)event->group.len, event->group.ptr, name);
	return 0;
}

SPARED_PLUGIN(
	.name = "smallest",
	.version = "1.0",
	.vendor = "spared",
	.summary = "logs the roles of groups",
	.create = create,
	.destroy = destroy,
	.role = role);
