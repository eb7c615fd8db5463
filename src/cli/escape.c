/* The filter that stands before a terminal: no byte of a peer's passes it that would be obeyed
 * instead of shown. */
#include <stdbool.h>
#include <string.h>

#include "base/list.h"
#include "base/text.h"
#include "cli/filter.h"

static bool is_plain(uint8_t byte)
{
	return (byte >= 0x20 && byte < 0x7f) || byte == '\n' || byte == '\t';
}

static size_t plain_run(const uint8_t *text, size_t bytes)
{
	size_t run = 0;

	while (run < bytes && is_plain(text[run]))
		run++;
	return run;
}

/* Whether `text` may be the beginning of a UTF-8 sequence that more bytes would complete. */
static bool is_cut(const uint8_t *text, size_t bytes)
{
	size_t whole = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;

	if (text[0] < 0xc2 || text[0] > 0xf4 || bytes >= whole)
		return false;
	for (size_t i = 1; i < bytes; i++)
		if ((text[i] & 0xc0) != 0x80)
			return false;
	return true;
}

static void give_escaped(struct wbi_escape *escape, const uint8_t *text, size_t bytes)
{
	char shown[4 * 4 + 1];
	size_t shown_bytes = wbi_text_escape(text, bytes, shown, sizeof(shown), NULL);

	wbi_filter_give(escape->filter.next, shown, shown_bytes);
}

/* Passes on what stands at the front of `text`. Returns how many bytes that were, or 0 where the
 * answer depends on bytes that are still to come (never when `final`). */
static size_t step(struct wbi_escape *escape, const uint8_t *text, size_t bytes, bool final)
{
	size_t take = plain_run(text, bytes);

	if (take > 0) {
		wbi_filter_give(escape->filter.next, text, take);
		return take;
	}
	if (text[0] == '\r' && bytes == 1 && !final)
		return 0;
	if (text[0] == '\r' && bytes > 1 && text[1] == '\n') {
		wbi_filter_give(escape->filter.next, text, 2);
		return 2;
	}
	take = wbi_utf8_sequence(text, bytes);
	if (take == 0 && !final && is_cut(text, bytes))
		return 0;
	take += take == 0;
	give_escaped(escape, text, take);
	return take;
}

/* Passes on what is held as far as that can be decided. */
static void settle(struct wbi_escape *escape, bool final)
{
	while (escape->held_bytes > 0) {
		size_t took = step(escape, escape->held, escape->held_bytes, final);

		if (took == 0)
			return;
		escape->held_bytes -= took;
		memmove(escape->held, escape->held + took, escape->held_bytes);
	}
}

static void escape_give(struct wbi_filter *filter, const void *data, size_t bytes)
{
	struct wbi_escape *escape = WBI_CONTAINER(filter, struct wbi_escape, filter);
	const uint8_t *text = data;

	while (bytes > 0) {
		size_t took = 0;

		if (escape->held_bytes == 0)
			took = step(escape, text, bytes, false);
		if (took == 0) { /* four bytes always suffice for a decision */
			escape->held[escape->held_bytes++] = *text;
			settle(escape, false);
			took = 1;
		}
		text += took;
		bytes -= took;
	}
}

static void escape_finish(struct wbi_filter *filter)
{
	struct wbi_escape *escape = WBI_CONTAINER(filter, struct wbi_escape, filter);

	settle(escape, true);
	wbi_filter_finish(escape->filter.next);
}

void wbi_escape_init(struct wbi_escape *escape, struct wbi_filter *next)
{
	*escape = (struct wbi_escape){.filter = {escape_give, escape_finish, next}};
}
