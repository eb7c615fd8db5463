/* The daemon: listeners, what they hand their connections to, and an orderly end. */
#ifndef WBI_SERVER_H
#define WBI_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "app/authority.h"
#include "job/audit.h"
#include "sys/addr.h"
#include "transport/identity.h"
#include "waybill/err.h"
#include "waybill/limits.h"

struct wbi_server; /* opaque, heap */

struct wbi_server_options {
	struct wb_limits limits;
	bool insecure_plain;
	const uid_t *allowed_uids; /* beside the daemon's own; borrowed for _new only */
	unsigned allowed_uid_count;
	const char
		*spool_folder; /* for output that outgrows memory; borrowed for the server's life */
	/* For tls listeners, each borrowed for the server's life. */
	const struct wbi_identity *identity; /* the host key; NULL: no such listener */
	struct wbi_authority *authority;     /* who may come in by key */
	enum wbi_audit_format log_format;
	const char *files_root; /* put and get stay beneath it; NULL: wherever the user may;
				   borrowed likewise */
	/* Where commands get cgroups: a folder that was delegated to us; "auto": our own cgroup,
	 * where it was; NULL, "none": nowhere. Borrowed for _new only. */
	const char *cgroup;
};

/* Makes a daemon that listens nowhere yet. Raises the soft limit of open files and blocks SIGTERM
 * and SIGINT, which become its own. */
WB_WARN_UNUSED enum wb_err wbi_server_new(const struct wbi_server_options *options,
					  struct wbi_server **ret_server, struct wb_fault *fault);

/* Ends everything: closes connections, kills what still runs, reaps it. NULL is allowed. */
void wbi_server_free(struct wbi_server *server);

/* Listens at a URI (a name with several addresses: at the first that works).
 * ret_uri: the URI as given, with its real port. Returns WB_OK, WB_ERR_ARGUMENT (no such service),
 * WB_ERR_REFUSED (policy), WB_ERR_LIMIT (too many listeners), WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_server_listen(struct wbi_server *server, const struct wbi_uri *uri,
					     char ret_uri[WBI_URI_TEXT_MAX],
					     struct wb_fault *fault);

/* The same for a socket that was inherited. name: "upper", "exec-length", …; "session", or "tls"
 * for sessions of those who show a key. On failure the caller still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_server_adopt(struct wbi_server *server, int fd, const char *name,
					    char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault);

/* Serves until SIGTERM or SIGINT and until what was under way has ended, or until the second such
 * signal. Returns WB_OK, or WB_ERR_SYSTEM if the loop itself fails. */
WB_WARN_UNUSED enum wb_err wbi_server_run(struct wbi_server *server, struct wb_fault *fault);

#endif
