/* The refusal of browsers: see browser.h. */
#include "service/browser.h"

#include <stdbool.h>
#include <string.h>

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static bool ends_in_http_version(const uint8_t *line, size_t bytes)
{
	static const char name[] = "HTTP/";
	enum { VERSION_BYTES = 8 }; /* HTTP/x.y */
	const uint8_t *version;

	if (bytes < VERSION_BYTES)
		return false;
	version = line + bytes - VERSION_BYTES;
	return memcmp(version, name, sizeof(name) - 1) == 0 && is_digit(version[5]) &&
	       version[6] == '.' && is_digit(version[7]);
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

const char *wbi_browser_check(const uint8_t *data, size_t bytes)
{
	const uint8_t *line = data, *behind = data + bytes, *end;

	if (memchr(data, '\0', bytes))
		return "refused: the input holds a NUL, so it is no shell command (TLS?)";
	while (line < behind && (*line == '\n' || is_blank(*line)))
		line++;
	end = memchr(line, '\n', (size_t)(behind - line));
	if (!end)
		end = behind;
	while (end > line && is_blank(end[-1]))
		end--;
	if (ends_in_http_version(line, (size_t)(end - line)))
		return "refused: an HTTP request is no shell command";
	return NULL;
}
