/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Runs a plugin in a program of its own: what is in a worker's way is in that of sanitizers, too.
 */
#include <poll.h>
#include <sys/socket.h>

int spared_plugin_main(int socket);

int main(void)
{
	struct pollfd daemon = { .fd = 3, .events = POLLIN };
	static char load[196608];

	/* what a worker would load, and how */
	if (poll(&daemon, 1, 10000) != 1 || recv(3, load, sizeof(load), 0) < 0)
		return 64;
	return spared_plugin_main(3);
}
