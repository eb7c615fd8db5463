/* Addresses: URIs into parts, parts into socket addresses, and both back into text. */
#include "sys/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char *const transports[] = {
	[WBI_TCP] = "tcp", [WBI_UDP] = "udp", [WBI_UNIX] = "unix", [WBI_TLS] = "tls"};

#define DIGITS        "0123456789"
#define SERVICE_BYTES "abcdefghijklmnopqrstuvwxyz" DIGITS "-"
#define HOST_BYTES    SERVICE_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZ._"
#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* For functions that end where the URI cannot be had; `fault` is theirs. */
#define BAD_URI(...) wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, __VA_ARGS__)

/* ---- parsing ---- */

/* The text up to (not including) `end`, into a field of `size` bytes. False: it does not fit. */
static bool copy_part(char *out, size_t size, const char *text, const char *end)
{
	size_t bytes = (size_t)(end - text);

	if (bytes >= size)
		return false;
	memcpy(out, text, bytes);
	out[bytes] = '\0';
	return true;
}

static bool find_transport(const char *name, enum wbi_transport *ret_transport)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		if (strcmp(transports[i], name) == 0) {
			*ret_transport = (enum wbi_transport)i;
			return true;
		}
	}
	return false;
}

static enum wb_err parse_scheme(const char *text, const char *end, struct wbi_uri *uri,
				struct wb_fault *fault)
{
	char scheme[sizeof(uri->service) + sizeof("+unix")];

	if (!copy_part(scheme, sizeof(scheme), text, end))
		return BAD_URI("%.40s: nothing that long stands before ://", text);
	char *plus = strrchr(scheme, '+');
	const char *name = plus ? plus + 1 : scheme;
	if (!find_transport(name, &uri->transport))
		return BAD_URI("%s: not a transport: write tcp, udp, unix or tls before ://", name);
	if (!plus)
		return WB_OK;
	*plus = '\0';
	if (plus == scheme || scheme[strspn(scheme, SERVICE_BYTES)] != '\0' ||
	    !copy_part(uri->service, sizeof(uri->service), scheme, plus))
		return BAD_URI("%s: not a service: 1 to %zu of a-z, 0-9 and - stand before +",
			       scheme, sizeof(uri->service) - 1);
	return WB_OK;
}

static enum wb_err parse_path(const char *text, struct wbi_uri *uri, struct wb_fault *fault)
{
	size_t bytes = strlen(text);

	if (text[0] != '/')
		return BAD_URI("%.80s: not an absolute path: write unix:///path", text);
	if (bytes > UNIX_PATH_MAX)
		return BAD_URI("a unix socket's path has at most %zu bytes, this one %zu",
			       UNIX_PATH_MAX, bytes);
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return BAD_URI("%.80s: a control character in the path", text);
	memcpy(uri->host, text, bytes + 1);
	return WB_OK;
}

static bool is_ipv6(const char *host)
{
	char number[INET6_ADDRSTRLEN];
	struct in6_addr address;
	const char *end = strchrnul(host, '%');

	return (*end == '\0' || (end[1] && strspn(end + 1, HOST_BYTES) == strlen(end + 1))) &&
	       copy_part(number, sizeof(number), host, end) &&
	       inet_pton(AF_INET6, number, &address) == 1;
}

static enum wb_err parse_port(const char *text, struct wbi_uri *uri, struct wb_fault *fault)
{
	size_t digits = strspn(text + 1, DIGITS);
	unsigned port = 0;

	if (text[0] != ':')
		return BAD_URI("%.80s: only :PORT may follow the host", text);
	for (size_t i = 1; i <= digits && port <= UINT16_MAX; i++)
		port = 10 * port + (unsigned)(text[i] - '0');
	if (digits == 0 || text[1 + digits] != '\0' || port > UINT16_MAX)
		return BAD_URI("%.80s: not a port: write a number from 0 to 65535", text + 1);
	uri->port = (uint16_t)port;
	uri->has_port = true;
	return WB_OK;
}

static enum wb_err parse_host(const char *text, struct wbi_uri *uri, struct wb_fault *fault)
{
	bool bracket = text[0] == '[';
	const char *host = text + bracket;
	const char *end = bracket ? strchr(host, ']') : host + strspn(host, HOST_BYTES);

	if (bracket &&
	    (!end || !copy_part(uri->host, sizeof(uri->host), host, end) || !is_ipv6(uri->host)))
		return BAD_URI("%.80s: not an IPv6 address in brackets, such as [::1]:8080", text);
	if (!bracket && strchr(text, ':') != strrchr(text, ':'))
		return BAD_URI("%.80s: IPv6 stands in brackets: write [::1]:8080", text);
	if (!bracket && (unsigned char)*end > '~')
		return BAD_URI("%.80s: a host name is written in ASCII: other letters as xn--...",
			       text);
	if (end == host)
		return BAD_URI("no host stands after ://: write 127.0.0.1:PORT, or 0.0.0.0:PORT "
			       "for all");
	if (!bracket && !copy_part(uri->host, sizeof(uri->host), host, end))
		return BAD_URI("a host name has at most %zu bytes", sizeof(uri->host) - 1);
	end += bracket;
	return *end ? parse_port(end, uri, fault) : WB_OK;
}

enum wb_err wbi_uri_parse(const char *text, struct wbi_uri *ret_uri, struct wb_fault *fault)
{
	struct wbi_uri uri = {0};
	const char *colon = strstr(text, "://");

	if (!colon)
		return BAD_URI("%.80s: not a URI: write tcp://HOST:PORT or unix:///PATH", text);
	enum wb_err err = parse_scheme(text, colon, &uri, fault);
	if (!err)
		err = (uri.transport == WBI_UNIX ? parse_path : parse_host)(colon + 3, &uri, fault);
	if (!err)
		*ret_uri = uri;
	return err;
}

/* ---- URIs as text ---- */

enum wb_err wbi_uri_local(char out[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");

	if (!folder || folder[0] != '/')
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "XDG_RUNTIME_DIR is not set: give unix:///path");
	if (snprintf(out, WBI_URI_TEXT_MAX, "unix://%s/waybill.sock", folder) >= WBI_URI_TEXT_MAX)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "XDG_RUNTIME_DIR is too long: give unix:///path");
	return WB_OK;
}

void wbi_uri_format(const struct wbi_uri *uri, char out[WBI_URI_TEXT_MAX])
{
	bool bracket = uri->transport != WBI_UNIX && strchr(uri->host, ':');
	char port[8] = "";

	if (uri->has_port)
		snprintf(port, sizeof(port), ":%u", uri->port);
	snprintf(out, WBI_URI_TEXT_MAX, "%s%s%s://%s%s%s%s", uri->service,
		 uri->service[0] ? "+" : "", transports[uri->transport], bracket ? "[" : "",
		 uri->host, bracket ? "]" : "", port);
}

/* ---- resolving ---- */

static enum wb_err lookup_fault(int code, const char *host, struct wb_fault *fault)
{
	enum wb_err err = WB_ERR_ARGUMENT;

	if (code == EAI_SYSTEM)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "look up %s: %m", host);
	if (code == EAI_MEMORY)
		err = WB_ERR_NOMEM;
	if (code == EAI_AGAIN) {
		err = WB_ERR_SYSTEM;
		errno = EAGAIN;
	}
	return wb_fault_set(fault, err, NULL, 0, "look up %s: %s", host, gai_strerror(code));
}

static enum wb_err resolve_host(const struct wbi_uri *uri, bool passive, struct wbi_addr *ret_addrs,
				unsigned room, unsigned *ret_count, struct wb_fault *fault)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
		.ai_socktype = uri->transport == WBI_UDP ? SOCK_DGRAM : SOCK_STREAM,
	};
	struct addrinfo *found;
	unsigned count = 0;
	char port[8];

	snprintf(port, sizeof(port), "%u", uri->port);
	int code = getaddrinfo(uri->host, port, &hints, &found);
	if (code != 0)
		return lookup_fault(code, uri->host, fault);
	for (struct addrinfo *a = found; a && count < room; a = a->ai_next) {
		memcpy(&ret_addrs[count].storage, a->ai_addr, a->ai_addrlen);
		ret_addrs[count++].bytes = a->ai_addrlen;
	}
	freeaddrinfo(found);
	*ret_count = count;
	return WB_OK;
}

enum wb_err wbi_addr_resolve(const struct wbi_uri *uri, bool passive, struct wbi_addr *ret_addrs,
			     unsigned room, unsigned *ret_count, struct wb_fault *fault)
{
	if (room == 0)
		return BAD_URI("no room for an address");
	if (uri->transport != WBI_UNIX)
		return resolve_host(uri, passive, ret_addrs, room, ret_count, fault);

	struct wbi_addr addr = {.un.sun_family = AF_UNIX};
	size_t bytes = strlen(uri->host);
	if (bytes > UNIX_PATH_MAX)
		return BAD_URI("a unix socket's path has at most %zu bytes", UNIX_PATH_MAX);
	memcpy(addr.un.sun_path, uri->host, bytes + 1);
	addr.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + 1);
	ret_addrs[0] = addr;
	*ret_count = 1;
	return WB_OK;
}

/* ---- what an address is ---- */

static const struct sockaddr_in *as_ipv4(const struct wbi_addr *addr)
{
	return (const struct sockaddr_in *)&addr->storage;
}

static const struct sockaddr_in6 *as_ipv6(const struct wbi_addr *addr)
{
	return (const struct sockaddr_in6 *)&addr->storage;
}

/* The IPv4 address in it, its own or mapped into IPv6, in host order. */
static bool ipv4_within(const struct wbi_addr *addr, uint32_t *ret_ipv4)
{
	uint32_t ipv4;

	if (addr->any.sa_family == AF_INET)
		ipv4 = as_ipv4(addr)->sin_addr.s_addr;
	else if (addr->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as_ipv6(addr)->sin6_addr))
		memcpy(&ipv4, as_ipv6(addr)->sin6_addr.s6_addr + 12, 4);
	else
		return false;
	*ret_ipv4 = ntohl(ipv4);
	return true;
}

bool wbi_addr_is_loopback(const struct wbi_addr *addr)
{
	uint32_t ipv4;

	if (ipv4_within(addr, &ipv4))
		return ipv4 >> 24 == 127;
	if (addr->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&as_ipv6(addr)->sin6_addr);
	return addr->any.sa_family == AF_UNIX;
}

bool wbi_addr_is_wildcard(const struct wbi_addr *addr)
{
	uint32_t ipv4;

	if (ipv4_within(addr, &ipv4))
		return ipv4 == INADDR_ANY;
	return addr->any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&as_ipv6(addr)->sin6_addr);
}

uint16_t wbi_addr_port(const struct wbi_addr *addr)
{
	if (addr->any.sa_family == AF_INET)
		return ntohs(as_ipv4(addr)->sin_port);
	if (addr->any.sa_family == AF_INET6)
		return ntohs(as_ipv6(addr)->sin6_port);
	return 0;
}

/* ---- addresses as text ---- */

static void format_unix(const struct wbi_addr *addr, char out[WBI_ADDR_TEXT_MAX])
{
	const char *path = addr->un.sun_path;
	size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t bytes = addr->bytes > head ? addr->bytes - head : 0;

	if (bytes == 0) {
		snprintf(out, WBI_ADDR_TEXT_MAX, "unix");
	} else if (path[0] == '\0') { /* Linux's abstract names: not in the file system */
		out[0] = '@';
		wbi_text_escape(path + 1, bytes - 1, out + 1, WBI_ADDR_TEXT_MAX - 1, NULL);
	} else {
		wbi_text_escape(path, strnlen(path, bytes), out, WBI_ADDR_TEXT_MAX, NULL);
	}
}

void wbi_addr_format(const struct wbi_addr *addr, char out[WBI_ADDR_TEXT_MAX])
{
	char number[INET6_ADDRSTRLEN], zone[16] = "";
	uint32_t ipv4;

	if (ipv4_within(addr, &ipv4)) {
		ipv4 = htonl(ipv4);
		inet_ntop(AF_INET, &ipv4, number, sizeof(number));
		snprintf(out, WBI_ADDR_TEXT_MAX, "%s:%u", number, wbi_addr_port(addr));
		return;
	}
	switch (addr->any.sa_family) {
	case AF_UNIX:
		format_unix(addr, out);
		return;
	case AF_INET6:
		inet_ntop(AF_INET6, &as_ipv6(addr)->sin6_addr, number, sizeof(number));
		if (as_ipv6(addr)->sin6_scope_id)
			snprintf(zone, sizeof(zone), "%%%u", as_ipv6(addr)->sin6_scope_id);
		snprintf(out, WBI_ADDR_TEXT_MAX, "[%s%s]:%u", number, zone, wbi_addr_port(addr));
		return;
	default:
		snprintf(out, WBI_ADDR_TEXT_MAX, "unknown");
	}
}
