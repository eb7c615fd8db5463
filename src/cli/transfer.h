/* A transfer: one call of put or get, from its opening to the last word about it. What `put` and
 * `get` have in common; each brings its half of the file engines.
 *
 * One thread: it moves bytes while the engine's reads and writes let it. The session outlives lost
 * connections by itself. */
#ifndef WBI_TRANSFER_H
#define WBI_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/opt.h"
#include "cli/progress.h"
#include "files/progress.h"
#include "service/files_request.h"
#include "session/stream.h"
#include "sys/ring.h"
#include "waybill/client.h"

/* ---- options that both commands have ---- */

extern struct wbi_transfer_flags {
	bool recursive, owner, update, delete, no_fsync, no_delta, compress;
	bool progress, quiet, json;
	struct wbi_opt_list excludes;
	const char *digest;
	uint64_t limit; /* bytes a second; 0: none */
} wbi_transfer_flags;

/* What the help of both says. */
#define WBI_TRANSFER_DETAILS                                                                       \
	"DEST is a host, a URI, or local. A relative PATH begins in the home of the daemon's "     \
	"user, an absolute one at /, or at the folder that the daemon keeps files in (serve "      \
	"--root). As with scp, what has a colon before its first slash is elsewhere (./a:b is a "  \
	"file here), a TARGET that is a folder is copied into, and any other TARGET is the new "   \
	"name. \"-\" is stdin or stdout.\n"                                                        \
	"\n"                                                                                       \
	"Each file is written under a hidden name, compared with its digest, and only then "       \
	"takes its place, so a name never shows half a file. A connection that breaks is made "    \
	"again. What was interrupted for good goes on where it was when the same command runs "    \
	"again; blocks that are there already are not sent. Modes (whatever the umask), times, "   \
	"links and holes are kept; sockets, pipes and devices are left out.\n"                     \
	"\n"                                                                                       \
	"Exit code 0: every byte of every file is there, on disk and verified. 1: some files "     \
	"failed, each named on stderr. 255: the transfer itself failed. 128+n: ended by signal "   \
	"n.\n"

/* One command with its operands: `count` sources and a target. The request has what the options
 * say; paths are to be added. Returns the program's exit code. */
typedef int wbi_transfer_fn(char **sources, int count, const char *target,
			    struct wbi_files_request *request);

/* transfer_command.c: runs `transfer` with what the command line says. operands: what is to be
 * given, for those who gave less. Returns the program's exit code. */
int wbi_transfer_command(const struct wbi_command *command, int argc, char **argv,
			 const char *operands, wbi_transfer_fn *transfer);

/* Whether stdin or stdout can be what "-" and --json mean: 0, or the exit code where the program
 * was started without it, which has been told then. */
int wbi_transfer_standard(const struct wbi_command *command, int fd);

/* Says that it could not begin. what: NULL where the fault names it. Returns the exit code. */
int wbi_transfer_fail(const struct wbi_command *command, const char *what,
		      const struct wb_fault *fault);
int wbi_transfer_no_memory(const struct wbi_command *command);

/* ---- the transfer ---- */

struct wbi_transfer;

/* An engine, of either half. context: the engine. */
struct wbi_transfer_ops {
	const char *service;
	const char *did; /* for the summary: "sent", "received" */
	/* Takes what came. *ret_used is always set; what is left is given again. */
	enum wb_err (*take)(void *engine, const void *data, size_t bytes, size_t *ret_used,
			    struct wb_fault *fault);
	/* Writes what is to go. 0 bytes: nothing just now. room >= 64 KiB. */
	enum wb_err (*give)(void *engine, void *out, size_t room, size_t *ret_bytes,
			    struct wb_fault *fault);
	bool (*busy)(const void *engine); /* it has work without further input; take does it */
	bool (*done)(const void *engine); /* both sides have said all */
	int (*waits_for)(
		const void *engine); /* a descriptor to be read from first, -1; NULL: none */
	const struct wbi_file_progress *(*progress)(const void *engine);
	const struct wbi_file_failures *(*failures)(const void *engine);
};

enum { WBI_TRANSFER_HEAD_BYTES = 4 + 16384 };

struct wbi_transfer {
	const struct wbi_command *command;
	const char *destination;
	const struct wbi_transfer_ops *ops;
	void *engine; /* the caller's */

	struct wb_client *client;
	struct wb_call *call;
	struct wbi_ring ring; /* what goes, until it has arrived */
	struct wbi_source source;
	uint8_t head[WBI_TRANSFER_HEAD_BYTES]; /* the beginning of an item that came in pieces */
	size_t head_bytes;
	bool gave;        /* the last look found something to give */
	double allowance; /* --limit: bytes that may move now */
	uint64_t allowed_ms;
	struct wbi_progress progress;
	uint64_t started_ms;

	int signal_fd;
	int interrupted; /* by this signal */
	enum wb_err err; /* of the engine, or of what it talks to; */
	struct wb_fault fault;
	bool ended;
	struct wb_result result;
};

/* Runs it: `destination` and `request` say where and what, ops and engine are the half that runs
 * here. Returns the program's exit code; everything has been said. */
int wbi_transfer_run(const struct wbi_command *command, const char *destination,
		     const struct wbi_files_request *request, const struct wbi_transfer_ops *ops,
		     void *engine);

/* There is nothing that could be moved, and the engine's failures say why: they are told, as
 * wbi_transfer_run would, without asking anybody. Returns the program's exit code. */
int wbi_transfer_nothing(const struct wbi_command *command, const struct wbi_transfer_ops *ops,
			 void *engine);

/* transfer_report.c: says how it went; returns the exit code. */
int wbi_transfer_report(const struct wbi_transfer *transfer, uint64_t now_ms);

#endif
