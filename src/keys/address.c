/* Numeric addresses and networks, from text. */
#include "keys/address.h"

#include <stdio.h>
#include <string.h>

#include "keys/lines.h"

enum { IPV4_BYTES = 4, IPV6_BYTES = 16, GROUP_COUNT = 8, MAPPED_BITS = 96 };

/* A decimal number without leading zeros, at most `most` (< 1000), from the front. */
static bool take_decimal(struct wbi_slice *rest, unsigned most, unsigned *ret_value)
{
	unsigned value = 0;
	size_t digits = 0;

	while (digits < rest->bytes && rest->data[digits] >= '0' && rest->data[digits] <= '9') {
		if (digits == 3 || (digits && !value))
			return false;
		value = value * 10 + (rest->data[digits++] - '0');
	}
	if (!digits || value > most)
		return false;
	wbi_skip(rest, digits);
	*ret_value = value;
	return true;
}

static bool take(struct wbi_slice *rest, char character)
{
	if (!rest->bytes || rest->data[0] != (uint8_t)character)
		return false;
	wbi_skip(rest, 1);
	return true;
}

static bool parse_ipv4(struct wbi_slice text, uint8_t out[IPV4_BYTES])
{
	for (int i = 0; i < IPV4_BYTES; i++) {
		unsigned value;

		if ((i && !take(&text, '.')) || !take_decimal(&text, 255, &value))
			return false;
		out[i] = (uint8_t)value;
	}
	return !text.bytes;
}

static int hex_value(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 32;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* One to four hex digits from the front. */
static bool take_group(struct wbi_slice *rest, uint8_t out[2])
{
	unsigned value = 0;
	size_t digits = 0;

	while (digits < rest->bytes && hex_value(rest->data[digits]) >= 0) {
		if (digits == 4)
			return false;
		value = value << 4 | (unsigned)hex_value(rest->data[digits++]);
	}
	wbi_skip(rest, digits);
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return digits > 0;
}

/* Groups between colons; the last two of an address may be written as IPv4. Returns their count, 0
 * for no text, or -1. */
static int parse_groups(struct wbi_slice text, bool at_end, uint8_t out[IPV6_BYTES])
{
	int count = 0;

	if (!text.bytes)
		return 0;
	for (;;) {
		if (at_end && count <= GROUP_COUNT - 2 && parse_ipv4(text, out + 2 * count))
			return count + 2;
		if (count == GROUP_COUNT || !take_group(&text, out + 2 * count))
			return -1;
		count++;
		if (!text.bytes)
			return count;
		if (!take(&text, ':'))
			return -1;
	}
}

/* Eight groups, or fewer with "::" for the zeros between them. */
static bool parse_ipv6(struct wbi_slice text, uint8_t out[IPV6_BYTES])
{
	uint8_t head[IPV6_BYTES], tail[IPV6_BYTES];
	struct wbi_slice before = text, behind = text;
	const uint8_t *gap = memmem(text.data, text.bytes, "::", 2);
	int head_count, tail_count;

	if (!gap)
		return parse_groups(text, true, out) == GROUP_COUNT;
	before.bytes = (size_t)(gap - text.data);
	wbi_skip(&behind, before.bytes + 2);
	head_count = parse_groups(before, false, head);
	tail_count = parse_groups(behind, true, tail);
	if (head_count < 0 || tail_count < 0 || head_count + tail_count >= GROUP_COUNT)
		return false;
	memset(out, 0, IPV6_BYTES);
	memcpy(out, head, 2 * (size_t)head_count);
	memcpy(out + IPV6_BYTES - 2 * tail_count, tail, 2 * (size_t)tail_count);
	return true;
}

static bool is_mapped(const struct wbi_address *address)
{
	static const uint8_t prefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return address->bytes == IPV6_BYTES && !memcmp(address->data, prefix, sizeof(prefix));
}

static void unmap(struct wbi_address *address)
{
	memmove(address->data, address->data + IPV6_BYTES - IPV4_BYTES, IPV4_BYTES);
	address->bytes = IPV4_BYTES;
}

/* As it is written: one that is mapped stays so. */
static bool parse_plain(struct wbi_slice text, struct wbi_address *ret_address)
{
	struct wbi_address address = {.bytes = IPV4_BYTES};

	if (!parse_ipv4(text, address.data)) {
		address.bytes = IPV6_BYTES;
		if (!parse_ipv6(text, address.data))
			return false;
	}
	*ret_address = address;
	return true;
}

bool wbi_address_parse(struct wbi_slice text, struct wbi_address *ret_address)
{
	const uint8_t *zone = memchr(text.data, '%', text.bytes);

	if (zone)
		text.bytes = (size_t)(zone - text.data);
	if (!parse_plain(text, ret_address))
		return false;
	if (is_mapped(ret_address))
		unmap(ret_address);
	return true;
}

void wbi_address_ipv4_text(const struct wbi_address *address, char out[WBI_ADDRESS_TEXT_SIZE])
{
	const uint8_t *data = address->data;

	out[0] = '\0';
	if (address->bytes == IPV4_BYTES)
		snprintf(out, WBI_ADDRESS_TEXT_SIZE, "%u.%u.%u.%u", data[0], data[1], data[2],
			 data[3]);
}

/* Whether the first `bits` of two addresses are the same. */
static bool is_same(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, part = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return !part || !((a[whole] ^ b[whole]) >> (8 - part));
}

/* Whether all bits behind the prefix are 0. */
static bool is_network(const struct wbi_network *network)
{
	uint8_t masked[IPV6_BYTES] = {0};
	unsigned whole = network->prefix_bits / 8, part = network->prefix_bits % 8;

	memcpy(masked, network->address.data, whole);
	if (part)
		masked[whole] = network->address.data[whole] & (uint8_t)(0xff00 >> part);
	return !memcmp(masked, network->address.data, network->address.bytes);
}

bool wbi_network_parse(struct wbi_slice text, struct wbi_network *ret_network)
{
	struct wbi_network network = {.prefix_bits = 0};
	struct wbi_slice address = text, prefix = text;
	const uint8_t *slash = memchr(text.data, '/', text.bytes);

	if (slash)
		address.bytes = (size_t)(slash - text.data);
	if (!parse_plain(address, &network.address))
		return false;
	network.prefix_bits = 8 * network.address.bytes;
	if (slash) {
		wbi_skip(&prefix, address.bytes + 1);
		if (!take_decimal(&prefix, network.prefix_bits, &network.prefix_bits) ||
		    prefix.bytes)
			return false;
	}
	if (!is_network(&network))
		return false;
	if (is_mapped(&network.address) && network.prefix_bits >= MAPPED_BITS) {
		unmap(&network.address);
		network.prefix_bits -= MAPPED_BITS;
	}
	*ret_network = network;
	return true;
}

bool wbi_network_holds(const struct wbi_network *network, const struct wbi_address *address)
{
	return network->address.bytes == address->bytes &&
	       is_same(network->address.data, address->data, network->prefix_bits);
}
