/* Asking a person about a host's key: see ask_host.h. */
#include "cli/ask_host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

enum { ANSWER_MAX = 256, SHOWN_MAX = 512 };

/* ---- what known_hosts has besides ---- */

static void show_known(FILE *out, const struct wb_host *host)
{
	char file[SHOWN_MAX];

	if (host->other_kinds[0])
		fprintf(out,
			"known_hosts has other keys of it (%s), but only Ed25519 is used here.\n",
			host->other_kinds);
	if (host->bad_lines == 0)
		return;
	wbi_text_escape_message(host->bad_file, file, sizeof(file));
	fprintf(out, "%s:%zu makes no sense and was passed over", file, host->bad_line);
	if (host->bad_lines > 1)
		fprintf(out, ", as were others (%zu)", host->bad_lines - 1);
	fprintf(out, ".\n");
}

/* ---- the question ---- */

static void show_question(FILE *terminal, const struct wb_host *host)
{
	char name[SHOWN_MAX];

	wbi_text_escape_message(host->name, name, sizeof(name));
	show_known(terminal, host);
	fprintf(terminal,
		"%s, port %u, is not known yet. Its host key is\n"
		"  256 %s (ED25519)\n"
		"Is that right (yes, no, or the fingerprint)? ",
		name, host->port, host->fingerprint);
	fflush(terminal);
}

static bool is_yes(const char *answer, const struct wb_host *host)
{
	return strcmp(answer, "yes") == 0 || strcmp(answer, host->fingerprint) == 0;
}

/* Until there is an answer that can be understood. */
static bool read_answer(FILE *terminal, const struct wb_host *host)
{
	char answer[ANSWER_MAX];

	while (fgets(answer, sizeof(answer), terminal)) {
		answer[strcspn(answer, "\r\n")] = '\0';
		if (is_yes(answer, host))
			return true;
		if (strcmp(answer, "no") == 0)
			return false;
		fprintf(terminal, "Please type yes, no, or the fingerprint: ");
		fflush(terminal);
	}
	return false;
}

/* Nothing has been sent yet: ^C may end us as it ends any program. */
static void let_signals(sigset_t *before)
{
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigaddset(&ending, SIGQUIT);
	sigprocmask(SIG_UNBLOCK, &ending, before);
}

/* stdin may be the command's: the question goes to the terminal itself. */
bool wbi_ask_host_key(const struct wb_host *host, bool *ret_asked)
{
	FILE *terminal = isatty(STDERR_FILENO) ? fopen("/dev/tty", "r+e") : NULL;
	sigset_t before;
	bool yes;

	*ret_asked = terminal != NULL;
	if (!terminal)
		return false;
	let_signals(&before);
	show_question(terminal, host);
	yes = read_answer(terminal, host);
	sigprocmask(SIG_SETMASK, &before, NULL);
	fclose(terminal);
	return yes;
}

/* ---- in words ---- */

/* Whatever stands in it, a shell takes it for one word: the line is there to be pasted. */
static void print_word(const char *word)
{
	char shown[SHOWN_MAX];

	wbi_text_escape_message(word, shown, sizeof(shown));
	if (shown[0] && !shown[strspn(shown, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					     "0123456789_@%+=:,./-")]) {
		fprintf(stderr, " %s", shown);
		return;
	}
	fputs(" '", stderr);
	for (const char *at = shown; *at; at++) {
		if (*at == '\'')
			fputs("'\\''", stderr);
		else
			fputc(*at, stderr);
	}
	fputc('\'', stderr);
}

/* One that asks nothing any more: the fingerprint in it is the question. */
static void print_command(const struct wb_host *host, const struct wbi_ask_host *asked)
{
	fprintf(stderr, "  waybill trust --fingerprint %s", host->fingerprint);
	if (asked->known_hosts) {
		fputs(" --known-hosts", stderr);
		print_word(asked->known_hosts);
	}
	print_word(asked->destination);
	fputc('\n', stderr);
}

static void warn(const struct wb_host *host, const struct wbi_ask_host *asked)
{
	bool changed = host->state == WB_HOST_CHANGED;
	char name[SHOWN_MAX], file[SHOWN_MAX];

	wbi_text_escape_message(host->name, name, sizeof(name));
	wbi_text_escape_message(host->file, file, sizeof(file));
	fprintf(stderr,
		"\n*** WARNING: %s SHOWS %s ***\n"
		"  shown now: %s\n"
		"  known:     %s:%zu\n"
		"Somebody may be between you and %s. Nothing was sent.\n",
		name, changed ? "ANOTHER KEY THAN IT HAD" : "A KEY THAT WAS REVOKED",
		host->fingerprint, file, host->line, name);
	if (changed) {
		fprintf(stderr, "Where the new key is known to be right, remove that line, then\n");
		print_command(host, asked);
	}
	fprintf(stderr, "\n");
}

enum wb_host_answer wbi_ask_host(const struct wb_host *host, void *context)
{
	const struct wbi_ask_host *asked = context;
	bool is_terminal;

	if (host->state != WB_HOST_UNKNOWN) {
		warn(host, asked);
		return WB_HOST_REFUSE;
	}
	if (wbi_ask_host_key(host, &is_terminal))
		return WB_HOST_REMEMBER;
	if (!is_terminal) {
		show_known(stderr, host);
		fprintf(stderr, "the host key is not known; where it is right, this trusts it:\n");
		print_command(host, asked);
	}
	return WB_HOST_REFUSE;
}
