/* Its start is pending for two seconds; says what it is told, and when it is done. */
#include <spared/plugin.h>

#define SECOND_NS 1000000000u

static const struct spared_host *host;
static uint64_t pending;

static spared_status create(const struct spared_host *given, void **self)
{
	(void)self;
	host = given;
	return 0;
}

static void destroy(void *self)
{
	(void)self;
}

static spared_status start(void *self, uint64_t token)
{
	(void)self;
	pending = token;
	host->timer(host->ctx, 1, host->now(host->ctx) + 2 * SECOND_NS);
	return SPARED_PENDING;
}

static spared_status timer(void *self, uint32_t id)
{
	(void)self, (void)id;
	spared_logf(host, SPARED_LOG_INFO, "has started");
	return host->done(host->ctx, pending, 0);
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self, (void)token;
	spared_logf(host, SPARED_LOG_INFO, "is told the role %u", event->role);
	return 0;
}

SPARED_PLUGIN(.name = TEST_NAME, .version = "1", .vendor = "spared", .summary = "starts slowly",
              .create = create, .destroy = destroy, .start = start, .role = role, .timer = timer);
