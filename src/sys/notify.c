/* The service manager: see notify.h. */
#include "sys/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

enum { FIRST_FD = 3 };

/* A number that stands alone in a variable; -1 for anything else. */
static long number_in(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long value;

	if (text == NULL || *text == '\0')
		return -1;
	errno = 0;
	value = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' && value >= 0 ? value : -1;
}

static enum wb_err take_fd(int fd, struct wbi_inherited *out, struct wb_fault *fault)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, "LISTEN_FDS", 0,
				    "descriptor %d was promised: %m", fd);
	out->fd = fd;
	return WB_OK;
}

/* The i-th of the names that stand between colons. */
static void copy_name(const char *names, unsigned i, char out[WBI_INHERITED_NAME_MAX])
{
	while (names != NULL && i-- > 0) {
		names = strchr(names, ':');
		names = names != NULL ? names + 1 : NULL;
	}
	out[0] = '\0';
	if (names != NULL)
		wbi_text_escape(names, strcspn(names, ":"), out, WBI_INHERITED_NAME_MAX, NULL);
}

enum wb_err wbi_notify_inherited(struct wbi_inherited ret_sockets[WBI_INHERITED_MAX],
				 unsigned *ret_count, struct wb_fault *fault)
{
	long count = number_in("LISTEN_PID") == (long)getpid() ? number_in("LISTEN_FDS") : 0;
	enum wb_err err = WB_OK;

	if (count > WBI_INHERITED_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, "LISTEN_FDS", 0,
				    "%ld sockets were passed; the most is %d", count,
				    WBI_INHERITED_MAX);
	for (long i = 0; i < count && err == WB_OK; i++) {
		err = take_fd(FIRST_FD + (int)i, &ret_sockets[i], fault);
		copy_name(getenv("LISTEN_FDNAMES"), (unsigned)i, ret_sockets[i].name);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (err == WB_OK)
		*ret_count = count > 0 ? (unsigned)count : 0;
	return err;
}

int wbi_notify_open(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t bytes = path != NULL ? strlen(path) : 0;
	int fd = -1;

	if (bytes > 1 && bytes < sizeof addr.sun_path) {
		memcpy(addr.sun_path, path, bytes);
		if (path[0] == '@')
			addr.sun_path[0] = '\0'; /* the abstract namespace */
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) != 0) {
		close(fd);
		fd = -1;
	}
	unsetenv("NOTIFY_SOCKET");
	return fd;
}

void wbi_notify_send(int fd, const char *state)
{
	if (fd >= 0)
		(void)send(fd, state, strlen(state), MSG_NOSIGNAL);
}
