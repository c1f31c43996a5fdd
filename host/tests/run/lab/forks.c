/* Runs a program that goes on, as a check's script that hangs. */
#include <spawn.h>

#include <spared/plugin.h>

extern char **environ;

static spared_status create(const struct spared_host *given, void **self)
{
	(void)given, (void)self;
	return 0;
}

static void destroy(void *self)
{
	(void)self;
}

static spared_status start(void *self, uint64_t token)
{
	char *argv[] = { "sleep", "1000", NULL };
	pid_t pid;

	(void)self, (void)token;
	return -posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
}

SPARED_PLUGIN(.name = TEST_NAME, .version = "1", .vendor = "spared", .summary = "runs a program",
              .create = create, .destroy = destroy, .start = start);
