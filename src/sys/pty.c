/* Pseudo-terminals: see pty.h. */
#include "sys/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "sys/fd.h"

/* So that erasing a character erases all of its bytes. */
static void expect_utf8(int master)
{
	struct termios modes;

	if (tcgetattr(master, &modes) != 0)
		return;
	modes.c_iflag |= IUTF8;
	(void)tcsetattr(master, TCSANOW, &modes);
}

enum wb_err wbi_pty_open(uint16_t rows, uint16_t cols, int *ret_master,
			 char ret_path[WBI_PTY_PATH_MAX], struct wb_fault *fault)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	int error = master < 0 ? errno : 0;

	if (error == 0 && (grantpt(master) != 0 || unlockpt(master) != 0))
		error = errno;
	if (error == 0)
		error = ptsname_r(master, ret_path, WBI_PTY_PATH_MAX);
	if (error != 0) {
		wbi_fd_close(&master);
		errno = error;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "pseudo-terminal: %m");
	}
	expect_utf8(master);
	wbi_pty_resize(master, rows, cols);
	*ret_master = master;
	return WB_OK;
}

void wbi_pty_resize(int master, uint16_t rows, uint16_t cols)
{
	struct winsize size = {.ws_row = rows, .ws_col = cols};

	(void)ioctl(master, TIOCSWINSZ, &size);
}

pid_t wbi_pty_foreground(int master)
{
	pid_t group = tcgetpgrp(master);

	return group > 0 ? group : 0;
}

unsigned wbi_pty_end_of_file(int master, bool at_line_start, char ret_bytes[2])
{
	struct termios modes;
	char end = 4; /* ^D, unless somebody chose another */

	if (tcgetattr(master, &modes) == 0 && modes.c_cc[VEOF] != _POSIX_VDISABLE)
		end = (char)modes.c_cc[VEOF];
	ret_bytes[0] = ret_bytes[1] = end;
	return at_line_start ? 1 : 2;
}
