/* The registry: every job of the daemon, in one table behind one mutex. With the sessions'
 * directory it is all that workers share.
 *
 * A job belongs to the worker that started it; nobody else touches it. What stands here are copies
 * for `jobs` to list, and the way to its worker for `attach` and `kill`. */
#ifndef WBI_REGISTRY_H
#define WBI_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "job/principal.h"
#include "waybill/err.h"

enum { WBI_REGISTRY_COMMAND_MAX = 96, WBI_REGISTRY_CLIENT_MAX = 48 };

enum wbi_job_status {
	WBI_JOB_STATUS_RUNNING,  /* and its client is connected */
	WBI_JOB_STATUS_HELD,     /* runs; its client is away and may come back */
	WBI_JOB_STATUS_DETACHED, /* runs for nobody; may be attached */
	WBI_JOB_STATUS_ENDED,    /* has ended; outcome and output wait for somebody */
};

/* A job as others see it. No pointers; may be copied freely. */
struct wbi_registry_entry {
	uint64_t job; /* number, from 1, never reused while the daemon lives */
	unsigned worker;
	struct wbi_principal owner;
	pid_t pid;
	enum wbi_job_status status;
	uint64_t started_ms; /* wbi_clock_ms */
	uint64_t output_bytes[2];
	char command[WBI_REGISTRY_COMMAND_MAX]; /* argv as one would type it; escaped, cut */
	char client[WBI_REGISTRY_CLIENT_MAX];   /* agent; escaped */
};

struct wbi_registry; /* opaque, heap; thread-safe */

WB_WARN_UNUSED enum wb_err wbi_registry_new(uint32_t jobs_max, struct wbi_registry **ret_registry);
void wbi_registry_free(struct wbi_registry *registry);

/* Adds a job; entry->job is set. Returns WB_OK, WB_ERR_LIMIT (jobs_max are there), WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_registry_add(struct wbi_registry *registry,
					    struct wbi_registry_entry *entry);

/* Replaces the copy of entry->job. */
void wbi_registry_update(struct wbi_registry *registry, const struct wbi_registry_entry *entry);
void wbi_registry_remove(struct wbi_registry *registry, uint64_t job);

/* Looks up a job of that principal. False: there is none (or it is somebody else's, which looks the
 * same). */
bool wbi_registry_find(struct wbi_registry *registry, const struct wbi_principal *owner,
		       uint64_t job, struct wbi_registry_entry *ret_entry);

/* Copies up to `room` jobs of that principal with numbers above `after`, ascending. Returns how
 * many. */
unsigned wbi_registry_list(struct wbi_registry *registry, const struct wbi_principal *owner,
			   uint64_t after, struct wbi_registry_entry *ret_entries, unsigned room);

#endif
