/* What stands between the quotes of three options: times, environment, permissions. */
#ifndef WBI_AUTHORIZED_VALUE_H
#define WBI_AUTHORIZED_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/authorized_keys.h"

/* expiry-time: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, and Z or UTC behind it, or local time.
 * Gives seconds since 1970, UTC. Returns whether it is a time that exists. */
bool wbi_authorized_time(const char *text, int32_t utc_offset_s, int64_t *ret_time_s);

/* environment: bytes of the name in NAME=value; 0 where it is no such thing. */
size_t wbi_authorized_name_bytes(const char *text);

/* permit: replaces what `allowed` allows. text is rewritten: the roots become strings within it.
 * Returns NULL, or what is wrong with it (static). */
const char *wbi_authorized_permit(char *text, struct wbi_authorized *allowed);

#endif
