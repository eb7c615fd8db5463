/* The options before a key in authorized_keys, taken apart. What they mean for the one who knocks
 * is decided in authorized_keys.c. */
#ifndef WBI_AUTHORIZED_OPTIONS_H
#define WBI_AUTHORIZED_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "keys/authorized_keys.h"
#include "waybill/err.h"

struct wbi_authorized_options {
	struct wbi_authorized allowed; /* all but `line`; owns the strings */
	bool authority;                /* a certificate authority: no key of its own */
	const char *from, *principals, *permit, *expiry_time; /* NULL: not there */
};

/* Bytes that the options at the beginning of a line take: up to the first blank outside quotes.
 * Returns SIZE_MAX where a quote does not end. */
size_t wbi_authorized_options_measure(struct wbi_slice line);

/* Reads options. own_file: permit= is one of them. utc_offset_s: for times without a Z.
 * Returns WB_OK and the caller owns ret_options->allowed (wbi_authorized_done); WB_ERR_REFUSED (an
 * option that is unknown, malformed or there twice: fault.field is its name, fault.text the
 * reason); WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_authorized_options_parse(struct wbi_slice text, bool own_file,
							int32_t utc_offset_s,
							struct wbi_authorized_options *ret_options,
							struct wb_fault *fault);

#endif
