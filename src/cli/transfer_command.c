/* What put and get have in common before anything moves: options, operands, and what cannot be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/outcome.h"
#include "cli/reach.h"
#include "cli/transfer.h"
#include "sys/fd.h"

#define HELP_DIGEST                                                                                \
	"how files are compared: xxh128 (against accidents; default), sha256, or md5 for old "     \
	"peers"
#define HELP_SYNC                                                                                  \
	"do not wait for the disk: quicker, and what was just moved may be lost with the power"
#define HELP_DELTA "send changed files whole, not only their changed blocks"

static const struct wbi_opt table[] = {
	/* clang-format off */
	{'r', "recursive", WBI_OPT_FLAG, NULL, "folders, with all that is in them",
	 &wbi_transfer_flags.recursive, 0, 0},
	{'p', "owner", WBI_OPT_FLAG, NULL, "owners and set-id bits too, where the receiver is root (modes and "
	 "times are always kept)", &wbi_transfer_flags.owner, 0, 0},
	{'x', "exclude", WBI_OPT_LIST, "PATTERN", "leave out what matches, as in *.o or build "
	 "(repeatable)", &wbi_transfer_flags.excludes, 0, 0},
	{'u', "update", WBI_OPT_FLAG, NULL, "leave alone what is as new or newer at the target",
	 &wbi_transfer_flags.update, 0, 0},
	{0, "delete", WBI_OPT_FLAG, NULL, "in folders that are sent, delete what is only at the "
	 "target", &wbi_transfer_flags.delete, 0, 0},
	{0, "digest", WBI_OPT_TEXT, "NAME", HELP_DIGEST,
	 &wbi_transfer_flags.digest, 0, 0},
	{0, "no-fsync", WBI_OPT_FLAG, NULL, HELP_SYNC,
	 &wbi_transfer_flags.no_fsync, 0, 0},
	{0, "no-delta", WBI_OPT_FLAG, NULL, HELP_DELTA,
	 &wbi_transfer_flags.no_delta, 0, 0},
	{'z', "compress", WBI_OPT_FLAG, NULL, "compress what is sent",
	 &wbi_transfer_flags.compress, 0, 0},
	{0, "limit", WBI_OPT_BYTES, "BYTES", "at most so many a second",
	 &wbi_transfer_flags.limit, 1024, UINT64_C(1) << 40},
	{0, "progress", WBI_OPT_FLAG, NULL, "show progress even where stderr is no terminal",
	 &wbi_transfer_flags.progress, 0, 0},
	{'q', "quiet", WBI_OPT_FLAG, NULL, "say nothing but what went wrong",
	 &wbi_transfer_flags.quiet, 0, 0},
	{0, "json", WBI_OPT_FLAG, NULL, "say it on stdout, one JSON object for each failed file "
	 "and one at the end", &wbi_transfer_flags.json, 0, 0},
	/* clang-format on */
	WBI_REACH_ROWS,
	{0},
};

struct wbi_transfer_flags wbi_transfer_flags;

static bool make_request(const struct wbi_command *command, struct wbi_files_request *ret_request)
{
	const struct wbi_transfer_flags *flags = &wbi_transfer_flags;
	enum wb_digest_kind digest = WB_DIGEST_XXH128;

	if (flags->digest && !wb_digest_by_name(flags->digest, &digest)) {
		wbi_opt_wrong(command, "--digest: '%s': give xxh128, sha256 or md5", flags->digest);
		return false;
	}
	/* The list has no end of its own. */
	static const char *excludes[WBI_OPT_LIST_MAX + 1];
	memcpy(excludes, flags->excludes.values, flags->excludes.count * sizeof(excludes[0]));
	*ret_request = (struct wbi_files_request){
		.recursive = flags->recursive,
		.update = flags->update,
		.delete = flags->delete,
		.owner = flags->owner,
		.unsynced = flags->no_fsync,
		.compress = flags->compress,
		.whole = flags->no_delta,
		.digest = digest,
		.excludes = excludes,
	};
	return true;
}

int wbi_transfer_fail(const struct wbi_command *command, const char *what,
		      const struct wb_fault *fault)
{
	char shown[512] = "";

	if (what)
		wbi_text_escape_message(what, shown, sizeof(shown));
	fprintf(stderr, "waybill %s: %s%s%s\n", command->name, shown, what ? ": " : "",
		fault->text);
	return WBI_EXIT_NO_OUTCOME;
}

int wbi_transfer_no_memory(const struct wbi_command *command)
{
	fprintf(stderr, "waybill %s: no memory\n", command->name);
	return WBI_EXIT_NO_OUTCOME;
}

int wbi_transfer_standard(const struct wbi_command *command, int fd)
{
	struct wb_fault fault;

	if (!wbi_fd_was_closed(fd))
		return 0;
	wb_fault_set(&fault, WB_ERR_CLOSED, NULL, 0, "is closed");
	return wbi_transfer_fail(command, fd == STDIN_FILENO ? "stdin" : "stdout", &fault);
}

int wbi_transfer_command(const struct wbi_command *command, int argc, char **argv,
			 const char *operands, wbi_transfer_fn *transfer)
{
	struct wbi_files_request request;
	unsigned long before;
	int first, code = 0;

	wbi_reach_init();
	switch (wbi_opt_parse(command, table, false, argc, argv, &first)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (argc - first < 2)
		return wbi_opt_wrong(command, "%s", operands);
	if (!make_request(command, &request))
		return WBI_EXIT_USAGE;
	if (wbi_transfer_flags.json)
		code = wbi_transfer_standard(command, STDOUT_FILENO);
	if (code)
		return code;
	/* They are for nobody else: the more there are, the fewer files wait to be asked for. */
	(void)!wbi_fd_raise_limit(&before, NULL);
	return transfer(argv + first, argc - first - 1, argv[argc - 1], &request);
}
