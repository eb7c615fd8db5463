/* Lines and words of a key file. */
#include "keys/lines.h"

#include <string.h>
#include <strings.h>

void wbi_skip(struct wbi_slice *rest, size_t bytes)
{
	if (!bytes) /* data may be NULL where there is nothing */
		return;
	rest->data += bytes;
	rest->bytes -= bytes;
}

static size_t blanks_before(struct wbi_slice text)
{
	size_t count = 0;

	while (count < text.bytes && (text.data[count] == ' ' || text.data[count] == '\t'))
		count++;
	return count;
}

void wbi_skip_blanks(struct wbi_slice *rest)
{
	wbi_skip(rest, blanks_before(*rest));
}

struct wbi_slice wbi_word_take(struct wbi_slice *rest)
{
	struct wbi_slice word = {rest->data, 0};

	while (word.bytes < rest->bytes && rest->data[word.bytes] != ' ' &&
	       rest->data[word.bytes] != '\t')
		word.bytes++;
	wbi_skip(rest, word.bytes);
	wbi_skip_blanks(rest);
	return word;
}

static struct wbi_slice line_take(struct wbi_slice *rest)
{
	struct wbi_slice line = *rest;
	const uint8_t *end = memchr(rest->data, '\n', rest->bytes);

	if (end)
		line.bytes = (size_t)(end - rest->data);
	wbi_skip(rest, line.bytes + (end ? 1 : 0));
	if (line.bytes && line.data[line.bytes - 1] == '\r')
		line.bytes--;
	return line;
}

bool wbi_key_lines_next(struct wbi_key_lines *lines, struct wbi_slice *ret_line)
{
	while (lines->rest.bytes) {
		struct wbi_slice line = line_take(&lines->rest);

		lines->number++;
		wbi_skip_blanks(&line);
		if (line.bytes && line.data[0] != '#') {
			*ret_line = line;
			return true;
		}
	}
	return false;
}

bool wbi_slice_is(struct wbi_slice slice, const char *text)
{
	return slice.bytes == strlen(text) && !memcmp(slice.data, text, slice.bytes);
}

bool wbi_slice_is_nocase(struct wbi_slice slice, const char *text)
{
	return slice.bytes == strlen(text) &&
	       !strncasecmp((const char *)slice.data, text, slice.bytes);
}
