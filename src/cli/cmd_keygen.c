/* waybill keygen: a key of one's own. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/key_file.h"
#include "app/places.h"
#include "base/text.h"
#include "cli/opt.h"
#include "sys/account.h"

enum { COMMENT_MAX = 200 };

static struct {
	const char *file, *comment;
} options;

static const struct wbi_opt table[] = {
	{'f', "file", WBI_OPT_TEXT, "FILE", "where to (~/.config/waybill/id_ed25519)",
	 &options.file, 0, 0},
	{'C', "comment", WBI_OPT_TEXT, "TEXT", "to tell the key by (user@host)", &options.comment,
	 0, 0},
	{0},
};

static void usual_comment(char out[COMMENT_MAX])
{
	const struct wbi_account *account = wbi_account_own();
	const char *user = account ? strchr(account->variables[1], '=') + 1 : "waybill";
	char host[HOST_NAME_MAX + 1] = "localhost";

	if (gethostname(host, sizeof(host)) != 0)
		host[0] = '\0';
	host[HOST_NAME_MAX] = '\0';
	snprintf(out, COMMENT_MAX, "%s@%s", user, host);
}

static int make(const char *path, const char *comment)
{
	char fingerprint[WBI_FINGERPRINT_SIZE], shown[PATH_MAX];
	struct wbi_public_key key;
	struct wb_fault fault;

	wbi_text_escape_message(path, shown, sizeof(shown));
	if (wbi_key_pair_create(path, comment, &key, &fault) != WB_OK) {
		fprintf(stderr, "waybill keygen: %s\n", fault.text);
		return EXIT_FAILURE;
	}
	wbi_public_key_fingerprint(&key, fingerprint);
	printf("%s\n256 %s (ED25519)\n", shown, fingerprint);
	return EXIT_SUCCESS;
}

static int run_keygen(const struct wbi_command *command, int argc, char **argv)
{
	char path[PATH_MAX], comment[COMMENT_MAX];
	int operands;

	switch (wbi_opt_parse(command, table, false, argc, argv, &operands)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (operands < argc)
		return wbi_opt_wrong(command, "'%s': give the file as -f FILE", argv[operands]);
	if (options.comment && strpbrk(options.comment, "\r\n"))
		return wbi_opt_wrong(command, "--comment: it has to be one line");
	if (!options.file && !wbi_place_own("id_ed25519", path))
		return wbi_opt_wrong(command, "the usual file's name is too long: give -f FILE");
	usual_comment(comment);
	return make(options.file ? options.file : path,
		    options.comment ? options.comment : comment);
}

const struct wbi_command wbi_command_keygen = {
	.name = "keygen",
	.summary = "make a key to be known by",
	.usage = "keygen [-f FILE] [-C TEXT]",
	.details =
		"Makes an Ed25519 key in OpenSSH's format, as 'ssh-keygen -t ed25519' does: FILE, "
		"which nobody else can read, and FILE.pub, whose one line goes into "
		"~/.config/waybill/authorized_keys (or ~/.ssh/authorized_keys) of those who are to "
		"let you in. Nothing that exists is overwritten.\n"
		"\n"
		"Who has an Ed25519 key for ssh needs no other: Waybill finds ~/.ssh/id_ed25519, "
		"and what ssh-agent holds, by itself. There is no passphrase here: give a key one "
		"with 'ssh-keygen -p -f FILE', and load it with ssh-add.",
	.run = run_keygen,
};
