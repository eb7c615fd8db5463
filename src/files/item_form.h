/* Which field belongs to which kind of item or answer: what writing and reading both walk. */
#ifndef WBI_FILES_ITEM_FORM_H
#define WBI_FILES_ITEM_FORM_H

#include "files/item.h"

enum {
	WBI_ITEM_KINDS = WBI_ITEM_DONE + 1,
	WBI_ANSWER_KINDS = WBI_ANSWER_FINISHED + 1,
	WBI_ITEM_TIME_MAX = 32, /* a time as text */
};

enum wbi_item_field {
	WBI_HAS_N = 1 << 0,
	WBI_HAS_NAME = 1 << 1,
	WBI_HAS_SIZE = 1 << 2,
	WBI_HAS_MODE = 1 << 3,
	WBI_HAS_TIME = 1 << 4,
	WBI_HAS_OFFSET = 1 << 5,
	WBI_HAS_BYTES = 1 << 6,
	WBI_HAS_DIGEST = 1 << 7,
	WBI_HAS_ERROR = 1 << 8, /* and text */
	WBI_HAS_TARGET = 1 << 9,
	WBI_HAS_TO = 1 << 10,
	WBI_HAS_FILES = 1 << 11,
	WBI_MAY_SIZE = 1 << 12,
	WBI_MAY_DIGEST = 1 << 13,
	WBI_MAY_OWNER = 1 << 14,
	WBI_MAY_RAW = 1 << 15,
	WBI_MAY_LISTING = 1 << 16,
	WBI_HAS_FRESH = 1 << 17,
	WBI_MAY_BLOCKS = 1 << 18,
	WBI_HAS_TOLD = 1 << 19, /* deleted, failed */
	WBI_MAY_COMPARE = 1 << 20,
	WBI_HAS_UPTO = 1 << 21,
};

struct wbi_item_form {
	const char *name;
	unsigned fields;
	uint32_t payload_bytes; /* the most that may follow */
};

/* As wbi_item_set_name. */
bool wbi_item_name_copy(char out[WBI_ITEM_NAME_MAX + 1], size_t *ret_bytes, const char *name,
			size_t bytes);

extern const struct wbi_item_form wbi_item_forms[WBI_ITEM_KINDS];
extern const struct wbi_item_form wbi_answer_forms[WBI_ANSWER_KINDS];

#endif
