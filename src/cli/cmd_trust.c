/* waybill trust: a host's key, looked at and written down. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/host_fetch.h"
#include "app/known.h"
#include "base/text.h"
#include "cli/ask_host.h"
#include "cli/opt.h"
#include "cli/outcome.h"

enum { TIMEOUT_MS = 10000, SHOWN_MAX = 512 };

static struct {
	const char *known_hosts, *fingerprint;
	bool yes;
} options;

static const struct wbi_opt table[] = {
	{0, "known-hosts", WBI_OPT_TEXT, "FILE",
	 "where it is written down (~/.config/waybill/known_hosts)", &options.known_hosts, 0, 0},
	{0, "fingerprint", WBI_OPT_TEXT, "SHA256:...",
	 "trust it if this is its fingerprint, without asking", &options.fingerprint, 0, 0},
	{0, "yes", WBI_OPT_FLAG, NULL, "trust whatever it shows, without asking", &options.yes, 0,
	 0},
	{0},
};

static int fail(const char *destination, const char *text)
{
	char shown[SHOWN_MAX];

	wbi_text_escape_message(destination, shown, sizeof(shown));
	fprintf(stderr, "waybill trust: %s: %s\n", shown, text);
	return WBI_EXIT_NO_OUTCOME;
}

/* Whether we are told yes; `why` says why not. */
static bool is_wanted(const struct wb_host *host, const char **why)
{
	bool asked;

	if (options.fingerprint) {
		*why = "its fingerprint is another one";
		return strcmp(options.fingerprint, host->fingerprint) == 0;
	}
	if (options.yes || wbi_ask_host_key(host, &asked))
		return true;
	*why = asked ? "not trusted"
		     : "there is no terminal to ask on: give --fingerprint, or --yes";
	return false;
}

static int store(const char *destination, const struct wbi_uri *uri,
		 const struct wbi_public_key *key)
{
	struct wb_fault fault;

	if (wbi_known_add(options.known_hosts, uri->host, uri->port, key, &fault) != WB_OK)
		return fail(destination, fault.text);
	return EXIT_SUCCESS;
}

/* What is known already is not asked again, and what contradicts it is not written down. */
static int decide(const char *destination, const struct wbi_uri *uri,
		  const struct wbi_public_key *key)
{
	char fingerprint[WBI_FINGERPRINT_SIZE], text[WBI_PUBLIC_KEY_TEXT_SIZE];
	char why_not[SHOWN_MAX + 128], file[SHOWN_MAX];
	struct wb_host host = {
		.name = uri->host, .port = uri->port, .key = text, .fingerprint = fingerprint};
	struct wbi_known_files *files;
	struct wbi_known known;
	struct wb_fault fault;
	const char *why;

	if (wbi_known_read(options.known_hosts, &files, &fault) != WB_OK)
		return fail(destination, fault.text);
	wbi_known_ask(files, uri->host, uri->port, key, &known);
	wbi_known_free(files);
	wbi_public_key_fingerprint(key, fingerprint);
	wbi_public_key_text(key, text);
	wbi_known_tell(&known, &host);
	printf("256 %s (ED25519)\n", fingerprint);
	fflush(stdout);
	switch (known.verdict) {
	case WBI_HOST_MATCH:
		return EXIT_SUCCESS;
	case WBI_HOST_CHANGED:
	case WBI_HOST_REVOKED:
		wbi_text_escape_message(known.path, file, sizeof(file));
		snprintf(why_not, sizeof(why_not), "line %zu of %s %s", known.line, file,
			 known.verdict == WBI_HOST_CHANGED
				 ? "HAS ANOTHER KEY for this host: remove it first, if this one "
				   "is right"
				 : "has revoked this key");
		return fail(destination, why_not);
	case WBI_HOST_UNKNOWN:
		break;
	}
	if (!is_wanted(&host, &why))
		return fail(destination, why);
	return store(destination, uri, key);
}

static int run_trust(const struct wbi_command *command, int argc, char **argv)
{
	struct wbi_destination destination;
	struct wbi_public_key key;
	struct wb_fault fault;
	int operands;

	switch (wbi_opt_parse(command, table, false, argc, argv, &operands)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (argc - operands != 1)
		return wbi_opt_wrong(command, "give one destination, as HOST or HOST:PORT");
	if (wbi_destination_parse(argv[operands], &destination, &fault) != WB_OK ||
	    wbi_host_key_fetch(&destination, TIMEOUT_MS, &key, &fault) != WB_OK)
		return fail(argv[operands], fault.text);
	return decide(argv[operands], &destination.uri, &key);
}

const struct wbi_command wbi_command_trust = {
	.name = "trust",
	.summary = "look at a host's key, and write it down",
	.usage = "trust [options] DEST",
	.details =
		"Fetches the key of the daemon at DEST ([user@]host[:port]), shows its fingerprint "
		"as 'ssh-keygen -lf' prints it, and adds it to known_hosts when told yes. Compare "
		"the fingerprint with what 'waybill serve' prints when it starts, or with what the "
		"host's administrator says: whoever answers first is not always the right one.\n"
		"\n"
		"A host that ssh knows, and that serves with sshd's own host key, is known "
		"already.\n"
		"\n"
		"Exit code: 0 where the key is trusted (now, or before), 255 where not.",
	.run = run_trust,
};
