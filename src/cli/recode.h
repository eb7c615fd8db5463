/* Character sets: a filter that converts as bytes pass. */
#ifndef WBI_RECODE_H
#define WBI_RECODE_H

#include <iconv.h>

#include "cli/filter.h"
#include "waybill/err.h"

/* Takes over the locale's character type and returns the name of its character set: what the
 * terminal shows and what is typed. A C locale says nothing about the terminal, so it counts as
 * UTF-8. Static storage. Call once, before anything that edits lines. */
const char *wbi_charset_init(void);
bool wbi_charset_is_utf8(const char *charset);

struct wbi_recode {
	struct wbi_filter filter;
	iconv_t iconv;
	bool open;
	bool strict; /* stop at what cannot be converted, instead of showing it as \xNN */
	bool bad;    /* strict only: something could not be; sticks until _begin */
	char held[16];
	size_t held_bytes;
};

/* Opens a conversion. The caller owns *encode and ends it with _done (also after a failure).
 * Returns WB_OK; WB_ERR_ARGUMENT where there is no such conversion; WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_recode_open(struct wbi_recode *encode, const char *from,
					   const char *to, bool strict, struct wbi_filter *next,
					   struct wb_fault *fault);
void wbi_recode_done(struct wbi_recode *encode);

/* Forgets what is held and any error: a new text begins. */
void wbi_recode_begin(struct wbi_recode *encode);

#endif
