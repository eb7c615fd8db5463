/* How a daemon is reached: options that exec, attach, jobs and kill share. */
#ifndef WBI_REACH_H
#define WBI_REACH_H

#include <stdint.h>

#include "cli/opt.h"
#include "waybill/client.h"

extern struct wbi_reach {
	uint64_t retry_ms, silence_ms, server_uid;
	struct wbi_opt_list identities;
	const char *known_hosts;
	bool accept_new;
} wbi_reach;

enum { WBI_SILENCE_MS_MIN = 100, WBI_SILENCE_MS_MAX = 3600 * 1000 };
#define WBI_LONG_MS (UINT64_C(365) * 24 * 3600 * 1000)

/* Rows for the tables of those commands. */
#define WBI_REACH_RETRY                                                                            \
	"how long to try again once a connection is lost (as long as the daemon holds the call); " \
	"0: not at all"
#define WBI_REACH_SILENCE "a connection that is silent for so long counts as lost (45s)"
#define WBI_REACH_UID     "over unix and tcp: whose daemon it must be (our own)"
#define WBI_REACH_IDENTITY                                                                         \
	"over tls: the key to show (repeatable; ~/.config/waybill/id_ed25519, "                    \
	"~/.ssh/id_ed25519, then ssh-agent's)"
#define WBI_REACH_KNOWN                                                                            \
	"over tls: which host has which key (~/.config/waybill/known_hosts, then ssh's)"
#define WBI_REACH_ACCEPT                                                                           \
	"over tls: trust a host never seen before, and write it down; never one whose key has "    \
	"changed"

/* clang-format off */
#define WBI_REACH_ROWS                                                                             \
	{0, "retry", WBI_OPT_DURATION, "DURATION", WBI_REACH_RETRY, &wbi_reach.retry_ms,           \
	 0, WBI_LONG_MS},                                                                          \
	{0, "silence", WBI_OPT_DURATION, "DURATION", WBI_REACH_SILENCE, &wbi_reach.silence_ms,     \
	 WBI_SILENCE_MS_MIN, WBI_SILENCE_MS_MAX},                                                  \
	{0, "server-uid", WBI_OPT_INTEGER, "UID", WBI_REACH_UID, &wbi_reach.server_uid,            \
	 0, UINT32_MAX - 1},                                                                       \
	{'i', "identity", WBI_OPT_LIST, "FILE", WBI_REACH_IDENTITY, &wbi_reach.identities, 0, 0},  \
	{0, "known-hosts", WBI_OPT_TEXT, "FILE", WBI_REACH_KNOWN, &wbi_reach.known_hosts, 0, 0},   \
	{0, "accept-new", WBI_OPT_FLAG, NULL, WBI_REACH_ACCEPT, &wbi_reach.accept_new, 0, 0}
/* clang-format on */

/* Sets the defaults; before the options are parsed. */
void wbi_reach_init(void);

/* What the options say, without callbacks. Borrows `destination`. */
void wbi_reach_client(const char *destination, struct wb_client_options *ret_options);

#endif
