/* Patterns with * and ?, and lists of them. */
#include "keys/pattern.h"

#include <string.h>

#include "keys/lines.h"

static uint8_t lower(uint8_t character)
{
	return character >= 'A' && character <= 'Z' ? (uint8_t)(character + 32) : character;
}

/* Only the last star passed needs to be come back to: what an earlier one could give way for, the
 * last one can as well. */
bool wbi_pattern_match(struct wbi_slice pattern, struct wbi_slice text)
{
	size_t at = 0, in = 0, star = SIZE_MAX, star_at = 0;

	while (at < text.bytes) {
		if (in < pattern.bytes && pattern.data[in] == '*') {
			star = in++;
			star_at = at;
		} else if (in < pattern.bytes &&
			   (pattern.data[in] == '?' ||
			    lower(pattern.data[in]) == lower(text.data[at]))) {
			in++;
			at++;
		} else if (star != SIZE_MAX) {
			in = star + 1;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (in < pattern.bytes && pattern.data[in] == '*')
		in++;
	return in == pattern.bytes;
}

bool wbi_pattern_next(struct wbi_slice *list, struct wbi_slice *ret_pattern, bool *ret_negated)
{
	const uint8_t *comma;
	struct wbi_slice pattern = *list;

	if (!list->data)
		return false;
	comma = memchr(list->data, ',', list->bytes);
	if (comma) {
		pattern.bytes = (size_t)(comma - list->data);
		wbi_skip(list, pattern.bytes + 1);
	} else {
		*list = (struct wbi_slice){NULL, 0};
	}
	*ret_negated = pattern.bytes && pattern.data[0] == '!';
	if (*ret_negated)
		wbi_skip(&pattern, 1);
	*ret_pattern = pattern;
	return true;
}

bool wbi_pattern_list_match(struct wbi_slice list, struct wbi_slice text)
{
	struct wbi_slice pattern;
	bool negated, found = false;

	while (wbi_pattern_next(&list, &pattern, &negated)) {
		if (!wbi_pattern_match(pattern, text))
			continue;
		if (negated)
			return false;
		found = true;
	}
	return found;
}
