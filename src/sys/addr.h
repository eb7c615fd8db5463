/* Addresses: the URIs of the command line, and what the kernel makes of them.
 *
 * [service+]transport://address, transport tcp, udp, unix (tls is parsed, too). IPv6 stands in
 * brackets; port 0 lets the kernel choose. docs: cli "URI". */
#ifndef WBI_ADDR_H
#define WBI_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "waybill/err.h"

enum wbi_transport { WBI_TCP, WBI_UDP, WBI_UNIX, WBI_TLS };

enum { WBI_URI_TEXT_MAX = 320 };

/* A URI taken apart. No pointers; may be copied freely. */
struct wbi_uri {
	enum wbi_transport transport;
	char service[24]; /* "upper", "exec-length", …; "" for a session */
	char host[256];   /* without brackets; for unix the path */
	uint16_t port;    /* unused for unix */
	bool has_port;
};

struct wbi_addr {
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
		struct sockaddr_un un;
	};
	socklen_t bytes;
};

/* Parses a URI. Returns WB_OK or WB_ERR_ARGUMENT with a text that says what to write instead. */
WB_WARN_UNUSED enum wb_err wbi_uri_parse(const char *text, struct wbi_uri *ret_uri,
					 struct wb_fault *fault);

/* The URI of the user's own daemon, which "local" stands for: unix://$XDG_RUNTIME_DIR/waybill.sock.
 * Returns WB_OK or WB_ERR_ARGUMENT (there is no such folder). */
WB_WARN_UNUSED enum wb_err wbi_uri_local(char out[WBI_URI_TEXT_MAX], struct wb_fault *fault);

/* Writes a URI as it would be given, with its port. */
void wbi_uri_format(const struct wbi_uri *uri, char out[WBI_URI_TEXT_MAX]);

/* Resolves a URI into at most `room` addresses, in the order to try them. passive: for binding.
 * Blocks while names are looked up. Returns WB_OK, WB_ERR_ARGUMENT (no such name), WB_ERR_SYSTEM.
 */
WB_WARN_UNUSED enum wb_err wbi_addr_resolve(const struct wbi_uri *uri, bool passive,
					    struct wbi_addr *ret_addrs, unsigned room,
					    unsigned *ret_count, struct wb_fault *fault);

/* 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104, and every unix address. */
bool wbi_addr_is_loopback(const struct wbi_addr *addr);
bool wbi_addr_is_wildcard(const struct wbi_addr *addr);
uint16_t wbi_addr_port(const struct wbi_addr *addr); /* 0 for unix */

/* "127.0.0.1:8080" (also where it is mapped into IPv6, as sockets for both show it),
 * "[::1]:8080", a path, or "unix" for a nameless peer. Escaped. */
enum { WBI_ADDR_TEXT_MAX = 128 };
void wbi_addr_format(const struct wbi_addr *addr, char out[WBI_ADDR_TEXT_MAX]);

#endif
