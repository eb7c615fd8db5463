/* Line editing by libedit. Reading a key is ours, for two reasons: ^C must never be missed, and a
 * key typed right behind the prompt must already find the terminal in its editing mode. */
#include "cli/edit.h"

#ifdef HAVE_LIBEDIT

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/interrupt.h"

enum { HISTORY_LINES_MAX = 1000, HISTORY_PATH_MAX = 4096 };

struct wbi_edit {
	EditLine *line;
	History *history;
	const char *prompt;
	char history_path[HISTORY_PATH_MAX]; /* "": none is kept */
};

static volatile sig_atomic_t resized, resumed;

static void on_resize(int signal)
{
	(void)signal;
	resized = 1;
}

static void on_resume(int signal)
{
	(void)signal;
	resumed = 1;
}

static void watch_signals(void)
{
	struct sigaction resize = {.sa_handler = on_resize};
	struct sigaction resume = {.sa_handler = on_resume};

	sigemptyset(&resize.sa_mask);
	sigemptyset(&resume.sa_mask);
	sigaction(SIGWINCH, &resize, NULL);
	sigaction(SIGCONT, &resume, NULL);
}

/* What the terminal needs after a signal that was not ^C. */
static void catch_up(EditLine *line)
{
	if (resized) {
		resized = 0;
		el_resize(line);
	}
	if (resumed) { /* whoever had the terminal meanwhile has left it in a mode of his own */
		resumed = 0;
		el_set(line, EL_PREP_TERM, 1);
		el_set(line, EL_REFRESH);
	}
}

/* Reads one byte: 1, 0 at the end, -1 on ^C or an error. */
static int read_byte(EditLine *line, char *ret_byte)
{
	for (;;) {
		ssize_t bytes;

		if (wbi_interrupt_wait(STDIN_FILENO)) {
			bytes = read(STDIN_FILENO, ret_byte, 1);
			if (bytes >= 0 || (errno != EINTR && errno != EAGAIN))
				return (int)bytes;
		}
		if (wbi_interrupt_seen())
			return -1;
		catch_up(line);
	}
}

/* Reads one character. Bytes that make none are passed over, as libedit itself does. */
static int read_key(EditLine *line, wchar_t *ret_key)
{
	mbstate_t state = {0};

	for (;;) {
		char byte;
		int result = read_byte(line, &byte);
		size_t used;

		if (result <= 0)
			return result;
		used = mbrtowc(ret_key, &byte, 1, &state);
		if (used == (size_t)-1)
			state = (mbstate_t){0};
		else if (used != (size_t)-2)
			return 1;
	}
}

static char *show_prompt(EditLine *line)
{
	struct wbi_edit *edit = NULL;

	el_get(line, EL_CLIENTDATA, &edit);
	return (char *)edit->prompt; /* libedit's prototype is older than const */
}

/* $XDG_STATE_HOME/waybill/history or ~/.local/state/waybill/history. The folders are made one by
 * one; where that fails there is no history, and nothing is wrong. */
static void find_history(char path[HISTORY_PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int bytes = -1;

	if (state && *state == '/')
		bytes = snprintf(path, HISTORY_PATH_MAX, "%s/waybill/history", state);
	else if (home && *home == '/')
		bytes = snprintf(path, HISTORY_PATH_MAX, "%s/.local/state/waybill/history", home);
	if (bytes < 0 || bytes >= HISTORY_PATH_MAX) {
		*path = '\0';
		return;
	}
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

static void open_history(struct wbi_edit *edit)
{
	HistEvent event;

	find_history(edit->history_path);
	history(edit->history, &event, H_SETSIZE, HISTORY_LINES_MAX);
	history(edit->history, &event, H_SETUNIQUE, 1);
	if (*edit->history_path)
		history(edit->history, &event, H_LOAD, edit->history_path);
}

/* Written after each line: whatever ends the program, what was typed is kept. */
static void remember(const struct wbi_edit *edit, const char *line)
{
	HistEvent event;
	mode_t before;

	if (!*line)
		return;
	history(edit->history, &event, H_ENTER, line);
	if (!*edit->history_path)
		return;
	before = umask(077);
	if (history(edit->history, &event, H_SAVE, edit->history_path) >= 0)
		chmod(edit->history_path, 0600);
	umask(before);
}

enum wb_err wbi_edit_new(const char *prompt, struct wbi_edit **ret_edit)
{
	struct wbi_edit *edit = calloc(1, sizeof(*edit));

	if (!edit)
		return WB_ERR_NOMEM;
	edit->prompt = prompt;
	edit->line = el_init("waybill", stdin, stdout, stderr);
	edit->history = history_init();
	if (!edit->line || !edit->history) {
		wbi_edit_free(edit);
		return WB_ERR_UNSUPPORTED;
	}
	el_set(edit->line, EL_CLIENTDATA, edit);
	el_set(edit->line, EL_PROMPT, show_prompt);
	el_set(edit->line, EL_EDITOR, "emacs");
	el_set(edit->line, EL_HIST, history, edit->history);
	el_set(edit->line, EL_GETCFN, read_key);
	el_source(edit->line, NULL); /* ~/.editrc */
	open_history(edit);
	watch_signals();
	*ret_edit = edit;
	return WB_OK;
}

void wbi_edit_free(struct wbi_edit *edit)
{
	if (!edit)
		return;
	if (edit->history)
		history_end(edit->history);
	if (edit->line)
		el_end(edit->line);
	free(edit);
}

enum wbi_edit_result wbi_edit_next(struct wbi_edit *edit, const char **ret_line, size_t *ret_bytes)
{
	const char *line;
	char *copy;
	int count = 0;

	el_set(edit->line, EL_PREP_TERM, 1);
	line = el_gets(edit->line, &count);
	el_set(edit->line, EL_PREP_TERM, 0);
	if (wbi_interrupt_seen())
		return WBI_EDIT_DROPPED;
	if (!line || count <= 0)
		return WBI_EDIT_END;
	*ret_bytes = (size_t)count - (line[count - 1] == '\n');
	copy = strndup(line, *ret_bytes);
	if (copy)
		remember(edit, copy);
	free(copy);
	*ret_line = line;
	return WBI_EDIT_LINE;
}

#else

enum wb_err wbi_edit_new(const char *prompt, struct wbi_edit **ret_edit)
{
	(void)prompt;
	(void)ret_edit;
	return WB_ERR_UNSUPPORTED;
}

void wbi_edit_free(struct wbi_edit *edit)
{
	(void)edit;
}

enum wbi_edit_result wbi_edit_next(struct wbi_edit *edit, const char **ret_line, size_t *ret_bytes)
{
	(void)edit;
	(void)ret_line;
	(void)ret_bytes;
	return WBI_EDIT_END;
}

#endif
