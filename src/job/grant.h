/* A grant: what one session may do. Made once, where the peer was authorised (job/policy.c), from
 * how it is known: a uid, or a key and that key's options. Every service asks it, through
 * wbi_call_env.grant, and nobody decides anything anew.
 *
 * A session that is resumed gets the grant of its newest connection. So a service takes what it
 * needs when a call is opened, and copies it if it needs it longer. */
#ifndef WBI_GRANT_H
#define WBI_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "waybill/err.h"

/* Heap. Strings are its own. */
struct wbi_grant {
	bool exec; /* commands */
	bool pty;  /* and on a terminal */
	bool jobs; /* jobs, attach and kill, for the principal's own */
	bool put;  /* files in */
	bool get;  /* files out */
	/* Runs in place of whatever is asked for, by the user's shell, in the user's home, with
	 * nothing of the client's but what it asked for in SSH_ORIGINAL_COMMAND; NULL: none. */
	char *command;
	char **environment; /* "NAME=value", over the client's own; NULL-terminated, never NULL */
	char *put_root;     /* put lies beneath this folder; NULL: wherever the user may write */
	char *get_root;     /* get lies beneath this folder; NULL: wherever the user may read */
	uint64_t expires;   /* UTC, in seconds: void from then on; 0: never */
};

/* A grant of everything, or of nothing. Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_grant_new(bool everything, struct wbi_grant **ret_grant);
void wbi_grant_free(struct wbi_grant *grant); /* NULL is allowed */

/* Adds "NAME=value" (copied); a later one of the same name replaces the earlier.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_grant_set_variable(struct wbi_grant *grant, const char *variable);

/* Sets one of the strings above (grant->put_root, …) to a copy of `text`.
 * Returns WB_OK or WB_ERR_NOMEM; then it is as it was. */
WB_WARN_UNUSED enum wb_err wbi_grant_set_text(char **place, const char *text);

#endif
