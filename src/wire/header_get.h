/* What the header's getters share with the other rooms of this floor. */
#ifndef WBI_HEADER_GET_H
#define WBI_HEADER_GET_H

#include <stdbool.h>

#include "waybill/header.h"

/* Whether `value` is a string equal to `text` once escapes are undone. */
bool wbi_json_text_is(const struct wb_header *header, const struct wb_json_value *value,
		      const char *text);

/* The text of a string value for the eye: what does not fit `size` (> 0) bytes is cut. */
void wbi_json_text_cut(const struct wb_header *header, const struct wb_json_value *value, char *out,
		       size_t size);

#endif
