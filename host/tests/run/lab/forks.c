/* Runs a program that goes on, as a check's script that hangs. */
#include <spawn.h>

#include "spared_plugin.h"

extern char **environ;

static spared_status start(void *self, uint64_t token)
{
	char *argv[] = { "sleep", "1000", NULL };
	pid_t pid;

	(void)self, (void)token;
	return -posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
}

SPARED_PLUGIN(
	SPARED_NAME(TEST_NAME) SPARED_VERSION("1") SPARED_VENDOR("spared") SPARED_SUMMARY("runs a program"),
	.start = start);
