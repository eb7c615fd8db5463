/* Known hosts: is this key the key of that host, and writing down that it is. The file that was
 * named, or else Waybill's own known_hosts, ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. */
#ifndef WBI_KNOWN_H
#define WBI_KNOWN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "keys/known_hosts.h"
#include "waybill/client.h"
#include "waybill/err.h"

struct wbi_known {
	enum wbi_known_host verdict;
	char path[PATH_MAX]; /* which file says so; "" for UNKNOWN */
	size_t line;
	char other_kinds[WBI_KEY_TYPE_NAMES_SIZE]; /* of key, known for this host; "" for none */
	size_t bad_lines;                          /* that made no sense, and the first of them */
	char bad_path[PATH_MAX];
	size_t bad_line;
};

struct wbi_known_files; /* opaque, heap: what they said when they were read */

/* path: the file that was named; NULL: the usual ones. A file that is not there knows nobody.
 * Returns WB_OK and the caller owns *ret_files; WB_ERR_REFUSED (others can write to such a file),
 * WB_ERR_NOMEM, or as wbi_guarded_read. */
WB_WARN_UNUSED enum wb_err wbi_known_read(const char *path, struct wbi_known_files **ret_files,
					  struct wb_fault *fault);
void wbi_known_free(struct wbi_known_files *files); /* NULL is allowed */

/* Whether nobody has touched them since. */
bool wbi_known_is_current(const struct wbi_known_files *files);

/* Is that the key of host:port? What was found goes into *ret_known, which borrows nothing. */
void wbi_known_ask(const struct wbi_known_files *files, const char *host, uint16_t port,
		   const struct wbi_public_key *key, struct wbi_known *ret_known);

/* What was found, for whoever is asked about an unknown host: all of *ret_host but for its name,
 * port and key. Borrows from `known`. */
void wbi_known_tell(const struct wbi_known *known, struct wb_host *ret_host);

/* Adds the host to that file; NULL: Waybill's own. Returns WB_OK, WB_ERR_ARGUMENT, WB_ERR_SYSTEM.
 */
WB_WARN_UNUSED enum wb_err wbi_known_add(const char *path, const char *host, uint16_t port,
					 const struct wbi_public_key *key, struct wb_fault *fault);

#endif
