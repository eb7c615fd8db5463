/* authorized_keys: may the owner of this key come in, and what may they do? (sshd(8),
 * "AUTHORIZED_KEYS FILE FORMAT"; our own option `permit=`: docs/PROTOCOL.md, "Keys") */
#ifndef WBI_AUTHORIZED_KEYS_H
#define WBI_AUTHORIZED_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/public_key.h"
#include "waybill/err.h"

enum {
	WBI_AUTHORIZED_LINE_MAX = 8192, /* a longer one is passed over, as sshd(8) says */
	WBI_AUTHORIZED_ENVIRONMENT_MAX = 64,
};

/* What decides besides the key. */
struct wbi_authorized_facts {
	const char *address;  /* the peer's, numeric, without brackets or port; NULL: it has none,
				 and a line with from= does not let it in */
	int64_t now_s;        /* seconds since 1970, UTC */
	int32_t utc_offset_s; /* local time minus UTC, now, for times without a Z. Only within an
				 hour of a change of the clocks can the offset of now be wrong. */
	bool own_file;        /* Waybill's own file: `permit=` is an option there */
};

/* What permit= allows one direction of files. */
struct wbi_authorized_files {
	bool allowed;
	const char *root; /* only beneath this absolute path; NULL: anywhere the uid may */
};

/* What a line allows. Strings lie in `storage`, so the struct may be moved but has one owner.
 * Without permit= everything is allowed, but where there is command=, no files are. */
struct wbi_authorized {
	size_t line; /* from 1 */
	bool pty;    /* may have a pseudo-terminal */
	bool exec;   /* may run commands */
	bool jobs;   /* may list, attach to and end its own */
	struct wbi_authorized_files put, get;
	const char *command; /* command=: run this whatever is asked for; NULL: as asked */
	/* "NAME=value", NULL-terminated, never NULL. Of several values for a name only the first
	 * is here. */
	const char *const *environment;
	bool expires;
	int64_t expires_s; /* the last second, UTC, in which the key is good */
	void *storage;     /* private */
};

void wbi_authorized_done(struct wbi_authorized *authorized);

/* Looks for the first line that lets `key` in. Lines for other keys and other kinds of keys, and
 * lines marked cert-authority, are passed over.
 *
 * Returns WB_OK and the caller owns *ret_authorized. WB_ERR_MISSING: no line has this key;
 * fault.field is "line" where some make no sense, and fault.text says how many.
 * WB_ERR_REFUSED: lines have it, and none lets it in; fault.field names the option of the first of
 * them, fault.text says the line and the reason, fault.offset is the line's place in the text.
 * WB_ERR_NOMEM. Never blocks. */
WB_WARN_UNUSED enum wb_err wbi_authorized_keys_find(const void *text, size_t bytes,
						    const struct wbi_public_key *key,
						    const struct wbi_authorized_facts *facts,
						    struct wbi_authorized *ret_authorized,
						    struct wb_fault *fault);

#endif
