// SPDX-License-Identifier: MIT OR Apache-2.0
// The note, and the callbacks in sessions.go, as cgo exports them.
#include "_cgo_export.h"

static spared_status query(void *self, uint64_t token, const struct spared_str *argv, size_t argc)
{
	(void)self;
	return goQuery(token, (struct spared_str *)argv, argc);
}

static spared_status role(void *self, uint64_t token, const struct spared_role *event)
{
	(void)self, (void)token;
	return goRole(event->role);
}

SPARED_PLUGIN(
	SPARED_NAME("sessions") SPARED_VERSION("1.0") SPARED_VENDOR("spared")
	SPARED_SUMMARY("accounting sessions that both nodes know")
	SPARED_WIRE("1-1") SPARED_ROLES SPARED_TRANSFER SPARED_PEER SPARED_QUERY
	SPARED_ASKS("", "", "lists all sessions")
	SPARED_ASKS("status", "", "counts sessions, for sparectl status")
	SPARED_CHANGES("start", "ID USER", "begins a session")
	SPARED_CHANGES("stop", "ID", "ends a session"),
	.configure = goConfigure,
	.role = role,
	.drain = goDrain,
	.query = query,
	.up = goUp,
	.down = goDown,
	.message = goMessage,
	.writable = goWritable);
