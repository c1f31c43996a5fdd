/* Names courier-root as its partner, which does not name it. */
#include "spared_plugin.h"

static spared_status start(void *self, uint64_t token)
{
	(void)self, (void)token;
	return spared_timer(1, spared_now() + 1000000000u);
}

static spared_status timer(void *self, uint32_t id)
{
	struct spared_bytes message = { (const uint8_t *)"x", 1 };

	(void)self, (void)id;
	spared_logf(SPARED_INFO, "send: %d", spared_send_partner(0, message));
	return 0;
}

static spared_status partner_up(void *self, size_t partner)
{
	(void)self, (void)partner;
	spared_logf(SPARED_INFO, "is connected");
	return 0;
}

SPARED_PLUGIN(
	SPARED_NAME(TEST_NAME) SPARED_VERSION("1") SPARED_VENDOR("spared") SPARED_SUMMARY("intrudes")
	SPARED_LOCAL SPARED_PARTNER("courier-root"),
	.start = start,
	.timer = timer,
	.partner_up = partner_up);
