/* Items and answers: see item.h. The table of their fields, and what needs no bytes. */
#include <string.h>

#include "files/item_form.h"

const struct wbi_item_form wbi_item_forms[WBI_ITEM_KINDS] = {
	[WBI_ITEM_DIR] = {"dir",
			  WBI_HAS_N | WBI_HAS_NAME | WBI_HAS_MODE | WBI_HAS_TIME | WBI_MAY_OWNER,
			  0},
	[WBI_ITEM_FILE] = {"file",
			   WBI_HAS_N | WBI_HAS_NAME | WBI_HAS_SIZE | WBI_HAS_MODE | WBI_HAS_TIME |
				   WBI_MAY_OWNER | WBI_HAS_DIGEST | WBI_MAY_RAW,
			   WBI_ITEM_PAYLOAD_BYTES},
	[WBI_ITEM_OFFER] = {"offer",
			    WBI_HAS_N | WBI_HAS_NAME | WBI_MAY_SIZE | WBI_HAS_MODE | WBI_HAS_TIME |
				    WBI_MAY_OWNER | WBI_MAY_DIGEST,
			    0},
	[WBI_ITEM_DATA] = {"data", WBI_HAS_N | WBI_HAS_OFFSET | WBI_MAY_RAW,
			   WBI_ITEM_PAYLOAD_BYTES},
	[WBI_ITEM_COPY] = {"copy", WBI_HAS_N | WBI_HAS_OFFSET | WBI_HAS_BYTES, 0},
	[WBI_ITEM_HOLE] = {"hole", WBI_HAS_N | WBI_HAS_OFFSET | WBI_HAS_BYTES, 0},
	[WBI_ITEM_END] = {"end", WBI_HAS_N | WBI_HAS_SIZE | WBI_HAS_DIGEST, 0},
	[WBI_ITEM_ABORT] = {"abort", WBI_HAS_N | WBI_HAS_ERROR, 0},
	[WBI_ITEM_LINK] = {"link",
			   WBI_HAS_N | WBI_HAS_NAME | WBI_HAS_TARGET | WBI_HAS_TIME | WBI_MAY_OWNER,
			   0},
	[WBI_ITEM_HARDLINK] = {"hardlink", WBI_HAS_N | WBI_HAS_NAME | WBI_HAS_TO, 0},
	[WBI_ITEM_DIR_END] = {"dir_end", WBI_HAS_NAME | WBI_MAY_LISTING, WBI_ITEM_LISTING_BYTES},
	[WBI_ITEM_DONE] = {"done", WBI_HAS_FILES | WBI_HAS_BYTES, 0},
};

const struct wbi_item_form wbi_answer_forms[WBI_ANSWER_KINDS] = {
	[WBI_ANSWER_READY] = {"ready", WBI_HAS_FRESH, 0},
	[WBI_ANSWER_WANT] = {"want", WBI_HAS_N | WBI_MAY_BLOCKS, WBI_ITEM_PAYLOAD_BYTES},
	[WBI_ANSWER_HAVE] = {"have", WBI_HAS_N, 0},
	[WBI_ANSWER_SKIP] = {"skip", WBI_HAS_N, 0},
	[WBI_ANSWER_REFUSED] = {"refused", WBI_HAS_N | WBI_HAS_ERROR, 0},
	[WBI_ANSWER_SAVED] = {"saved", WBI_HAS_UPTO | WBI_HAS_FILES | WBI_HAS_BYTES, 0},
	[WBI_ANSWER_FAILED] = {"failed", WBI_HAS_N | WBI_HAS_ERROR | WBI_MAY_COMPARE, 0},
	[WBI_ANSWER_FINISHED] = {"finished", WBI_HAS_FILES | WBI_HAS_BYTES | WBI_HAS_TOLD, 0},
};

const char *wbi_item_kind_name(enum wbi_item_kind kind)
{
	return wbi_item_forms[kind].name;
}

const char *wbi_answer_kind_name(enum wbi_answer_kind kind)
{
	return wbi_answer_forms[kind].name;
}

uint64_t wbi_item_block_bytes(uint64_t size)
{
	uint64_t block_bytes = WBI_ITEM_BLOCK_BYTES_MIN;

	while (size / block_bytes >= WBI_ITEM_BLOCKS_MAX / 2)
		block_bytes *= 2;
	return block_bytes;
}

void wbi_item_init(struct wbi_item *item, enum wbi_item_kind kind)
{
	memset(item, 0, offsetof(struct wbi_item, name));
	item->kind = kind;
	item->name[0] = item->other[0] = '\0';
}

void wbi_answer_init(struct wbi_answer *answer, enum wbi_answer_kind kind)
{
	memset(answer, 0, sizeof(*answer));
	answer->kind = kind;
}

bool wbi_item_name_copy(char out[WBI_ITEM_NAME_MAX + 1], size_t *ret_bytes, const char *name,
			size_t bytes)
{
	if (bytes == 0 || bytes > WBI_ITEM_NAME_MAX || memchr(name, '\0', bytes))
		return false;
	memcpy(out, name, bytes);
	out[bytes] = '\0';
	*ret_bytes = bytes;
	return true;
}

bool wbi_item_set_name(struct wbi_item *item, const char *name, size_t bytes)
{
	return wbi_item_name_copy(item->name, &item->name_bytes, name, bytes);
}

bool wbi_item_set_other(struct wbi_item *item, const char *other, size_t bytes)
{
	return wbi_item_name_copy(item->other, &item->other_bytes, other, bytes);
}
