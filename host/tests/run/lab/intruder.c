/* Names courier-root as its partner, which does not name it. */
#include <spared/plugin.h>

static const struct spared_host *host;

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
	(void)self, (void)token;
	return host->timer(host->ctx, 1, host->now(host->ctx) + 1000000000u);
}

static spared_status timer(void *self, uint32_t id)
{
	const struct spared_local *local = host->extension(host->ctx, SPARED_LOCAL);
	struct spared_bytes message = { (const uint8_t *)"x", 1 };

	(void)self, (void)id;
	spared_logf(host, SPARED_LOG_INFO, "send: %d", local->send(host->ctx, 0, message));
	return 0;
}

static spared_status up(void *self, uint32_t partner)
{
	(void)self, (void)partner;
	spared_logf(host, SPARED_LOG_INFO, "is connected");
	return 0;
}

static const char *const partners[] = { "courier-root" };

static const struct spared_local_plugin local = {
	.size = sizeof(local), .partner_count = 1, .partners = partners, .up = up
};

static const void *extension(const char *id)
{
	return strcmp(id, SPARED_LOCAL) ? NULL : &local;
}

SPARED_PLUGIN(.name = TEST_NAME, .version = "1", .vendor = "spared", .summary = "intrudes",
              .create = create, .destroy = destroy, .start = start, .timer = timer,
              .extension = extension);
