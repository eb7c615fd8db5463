/* Numeric addresses and networks, from text: for from= in authorized_keys. */
#ifndef WBI_ADDRESS_H
#define WBI_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { WBI_ADDRESS_TEXT_SIZE = 16 };

/* bytes: 4 for IPv4, 16 for IPv6. An IPv4 address within IPv6 (::ffff:192.0.2.1) is always IPv4. */
struct wbi_address {
	unsigned bytes;
	uint8_t data[16];
};

struct wbi_network {
	struct wbi_address address;
	unsigned prefix_bits;
};

/* Reads 192.0.2.1 or 2001:db8::1 (RFC 4291, section 2.2). Four decimal numbers without leading
 * zeros; no brackets, no port; a zone (%eth0) is passed over. Returns whether it is one. */
bool wbi_address_parse(struct wbi_slice text, struct wbi_address *ret_address);

/* Writes an IPv4 address; anything else gives "". */
void wbi_address_ipv4_text(const struct wbi_address *address, char out[WBI_ADDRESS_TEXT_SIZE]);

/* Reads an address, alone or with /bits. Bits beyond the prefix must be 0. */
bool wbi_network_parse(struct wbi_slice text, struct wbi_network *ret_network);

bool wbi_network_holds(const struct wbi_network *network, const struct wbi_address *address);

#endif
