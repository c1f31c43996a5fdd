/* Its start is pending for two seconds; says what it is told, and when it is done. */
#include "spared_plugin.h"

#define SECOND_NS 1000000000u

static uint64_t pending;

static spared_status start(void *self, uint64_t token)
{
	(void)self;
	pending = token;
	spared_timer(1, spared_now() + 2 * SECOND_NS);
	return SPARED_PENDING;
}

static spared_status timer(void *self, uint32_t id)
{
	(void)self, (void)id;
	spared_logf(SPARED_INFO, "has started");
	return spared_done(pending, 0);
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self, (void)token;
	spared_logf(SPARED_INFO, "is told the role %u", event->role);
	return 0;
}

SPARED_PLUGIN(
	SPARED_NAME(TEST_NAME) SPARED_VERSION("1") SPARED_VENDOR("spared") SPARED_SUMMARY("starts slowly") SPARED_ROLES,
	.start = start,
	.role = role,
	.timer = timer);
