/* Keys: what makes a command run once although it was asked for twice, by two sessions or two
 * clients. Shared by all workers, one mutex.
 *
 * A key is scoped to its principal and bound to a digest of the request. It is kept for
 * WBI_KEYS_HOURS from its first use, while the daemon lives. Protocol: "Keys". */
#ifndef WBI_KEYS_H
#define WBI_KEYS_H

#include <stdint.h>

#include "job/principal.h"
#include "waybill/digest.h"
#include "waybill/err.h"

enum {
	WBI_KEYS_HOURS = 24,
	WBI_KEYS_MAX = 4096, /* in all; past that a new key is refused, none is evicted early */
	WBI_KEY_BYTES_MAX = 129,
	WBI_KEY_OUTCOME_MAX = 96,
};

struct wbi_keys; /* opaque, heap; thread-safe */

/* What a client says: its key, and which request it stands for. No pointers. */
struct wbi_key {
	struct wbi_principal owner;
	char name[WBI_KEY_BYTES_MAX];
	char request[WB_DIGEST_HEX_MAX];
};

enum wbi_key_claim {
	WBI_KEY_NEW,      /* it is the caller's now: start the job, then _started or _drop */
	WBI_KEY_STARTING, /* somebody else is just doing that */
	WBI_KEY_STARTED,  /* ret_job is the job, which may be gone by now */
	WBI_KEY_OTHER,    /* it stands for another request */
	WBI_KEY_FULL,     /* there is no room for a new key */
};

WB_WARN_UNUSED enum wb_err wbi_keys_new(struct wbi_keys **ret_keys);
void wbi_keys_free(struct wbi_keys *keys);

/* Looks a key up, and takes it where nobody has it. ret_job: set for STARTED. */
enum wbi_key_claim wbi_keys_claim(struct wbi_keys *keys, const struct wbi_key *key, uint64_t now_ms,
				  uint64_t *ret_job);

/* The job that a claimed key stands for runs. */
void wbi_keys_started(struct wbi_keys *keys, const struct wbi_key *key, uint64_t job);

/* Nothing was started: the key is free again. */
void wbi_keys_drop(struct wbi_keys *keys, const struct wbi_key *key);

/* The job ended; outcome is a few words, cut to WBI_KEY_OUTCOME_MAX - 1 bytes. Nothing happens if
 * it has no key. */
void wbi_keys_ended(struct wbi_keys *keys, uint64_t job, const char *outcome);

/* How that job ended, as _ended was told; "not known" where it was not, or the key has expired. */
void wbi_keys_outcome(struct wbi_keys *keys, uint64_t job, char ret_outcome[WBI_KEY_OUTCOME_MAX]);

#endif
