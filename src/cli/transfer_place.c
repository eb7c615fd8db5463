/* Places of put and get: see transfer_place.h. */
#include "cli/transfer_place.h"

#include <stdio.h>
#include <string.h>

static const char digits[] = "0123456789";

/* Behind a host, in brackets or not. */
static const char *host_end(const char *host)
{
	const char *close;

	if (host[0] != '[')
		return host + strcspn(host, ":/");
	close = strchr(host, ']');
	return close ? close + 1 : host + strlen(host);
}

/* Where a URI ends: at the colon behind its port, or behind its host where none is given; for unix
 * at the first behind the path. */
static const char *uri_end(const char *scheme, const char *rest)
{
	const char *end;

	if (strncmp(scheme, "unix:", 5) == 0)
		return rest + strcspn(rest, ":");
	end = host_end(rest);
	if (end[0] == ':' && strspn(end + 1, digits) > 0) {
		const char *behind = end + 1 + strspn(end + 1, digits);

		if (*behind == ':' || *behind == '\0')
			return behind;
	}
	return end;
}

enum wb_err wbi_place_parse(const char *text, struct wbi_place *ret_place, struct wb_fault *fault)
{
	const char *scheme = strstr(text, "://"), *end;
	bool is_uri = scheme && scheme == text + strcspn(text, ":/");
	struct wbi_place place = {.remote = true, .path = text};
	size_t bytes;

	end = is_uri ? uri_end(text, scheme + 3) : host_end(text);
	if (!is_uri && (*end != ':' || end == text)) {
		place.remote = false;
		*ret_place = place;
		return WB_OK;
	}
	if (*end != ':')
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%s: which path there? Write %s:PATH", text, text);
	bytes = (size_t)(end - text);
	if (bytes >= sizeof(place.destination))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%.40s…: too long for a destination", text);
	memcpy(place.destination, text, bytes);
	place.path = end[1] != '\0' ? end + 1 : ".";
	*ret_place = place;
	return WB_OK;
}
