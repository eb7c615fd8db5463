/* Keys of exec: a request that has a key runs once. Only exec's own files include this. */
#ifndef WBI_EXEC_KEY_H
#define WBI_EXEC_KEY_H

#include <stdbool.h>

#include "service/call_service.h"
#include "service/exec_job.h"

/* Claims the key of an offered call. Returns true where the request is to be started now (and then
 * wbi_exec_key_started or wbi_keys_drop is due); false where the call has been answered: it looks
 * at the job that the key stands for, or was refused. */
bool wbi_exec_key_claim(struct wbi_call_env *env, struct wbi_event *event,
			const struct wbi_exec_request *request, struct wbi_key *ret_key);

/* The claimed key stands for that job from here on. */
void wbi_exec_key_started(struct wbi_exec_job *exec, const struct wbi_key *key);

/* Keeps how the job of a key ended, in a few words, for those who ask again. */
void wbi_exec_key_ended(const struct wbi_exec_job *exec);

/* Refuses a call with a key whose job is there no more: "done", and how it ended. */
void wbi_exec_key_refuse_done(struct wbi_call_env *env, struct wbi_call *call, uint64_t job);

#endif
