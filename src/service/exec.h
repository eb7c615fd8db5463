/* exec: what else may be done to the jobs that it started. Each only on the thread of the worker
 * that owns the job. Protocol: "Services of sessions". */
#ifndef WBI_EXEC_H
#define WBI_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "service/call_service.h"

/* Makes an offered call (WBI_EVENT_OPEN) the view of an existing job. From then on the call is
 * wbi_exec_service's, whatever its name. Ends in wbi_call_accept, or in a refusal: "job" (there is
 * none), "busy" (its client is connected), "limit". A job whose client is away is taken over: that
 * call fails with "taken". from_start: from the first byte that is still kept; else from where it
 * was left. */
void wbi_exec_attach(struct wbi_call_env *env, uint64_t job, bool from_start,
		     struct wbi_event *event);

/* Sends the job a signal ("TERM"; unknown names are ignored), or, where signal is NULL, ends it
 * (see wbi_job_kill). One that has ended and waits for somebody is dropped then. */
void wbi_exec_kill(struct wbi_call_env *env, uint64_t job, const char *signal);

/* The worker ends: gives up every job that no call holds any more. To be called after the sessions
 * were dropped, before wbi_job_env_done. */
void wbi_exec_done(struct wbi_call_env *env);

#endif
