/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The smallest useful plugin: logs the roles of groups.
 *
 *     cc -shared -fPIC -fvisibility=hidden -I.. -o smallest.so smallest.c ../spared_plugin.c
 */
#include "spared_plugin.h"

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	const char *name = event->role == SPARED_ACTIVE ? "active" : "not active";

	(void)self;
	(void)token; /* for plugins that return SPARED_PENDING */
	spared_logf(SPARED_INFO, "%.*s is %s", (int)event->group.len, event->group.ptr, name);
	return 0;
}

SPARED_PLUGIN(
	SPARED_NAME("smallest") SPARED_VERSION("1.0") SPARED_VENDOR("spared")
	SPARED_SUMMARY("logs the roles of groups") SPARED_ROLES,
	.role = role);
