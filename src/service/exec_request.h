/* What an `open` of exec asks for, checked and made ready to start. */
#ifndef WBI_EXEC_REQUEST_H
#define WBI_EXEC_REQUEST_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "job/job.h"
#include "waybill/header.h"

enum wbi_exec_policy { WBI_EXEC_KILL, WBI_EXEC_HOLD, WBI_EXEC_DETACH };

enum { WBI_EXEC_TERM_MAX = 64 };

struct wbi_exec_request {
	bool shell, terminal;
	uint16_t rows, cols;
	uint64_t timeout_ms; /* 0: none */
	enum wbi_exec_policy policy;
	uint64_t hold_ms; /* 0: as long as the session is held */

	char *strings;      /* a copy of the payload; the pointers below point into it */
	char **argv;        /* as asked: with `shell`, its one line */
	char **envp;        /* the client's, NULL-terminated */
	const char *folder; /* NULL: home */
	char term[sizeof("TERM=") + WBI_EXEC_TERM_MAX];
};

/* Reads the header's fields and the payload. *ret_request is to be given to _done in any case.
 * Returns WB_OK, WB_ERR_MALFORMED, _MISSING, _RANGE, _LIMIT, or _NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_exec_request_read(struct wbi_exec_request *ret_request,
						 const struct wb_header *header,
						 struct wbi_slice payload, struct wb_fault *fault);
void wbi_exec_request_done(struct wbi_exec_request *request);

/* Starts it as `number`. spec: streams, ops and owner are set, the rest is filled in here.
 * Returns as wbi_job_start_live. */
WB_WARN_UNUSED enum wb_err wbi_exec_request_start(const struct wbi_exec_request *request,
						  struct wbi_job_env *env, uint64_t number,
						  struct wbi_job_spec *spec,
						  struct wbi_job **ret_job, struct wb_fault *fault);

/* Whether a shell takes it for one word that means itself, without quotes. */
bool wbi_exec_is_plain_word(const char *text);

#endif
