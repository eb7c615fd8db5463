/* Four bytes, read in either order. */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	uint32_t wire = htobe32(5); /* '!I' */
	unsigned char bytes[4];
	uint32_t three_gib = 3u << 30;
	int32_t length;

	memcpy(bytes, &wire, sizeof(bytes));
	printf("5 packed with '!I': %02x %02x %02x %02x\n", bytes[0], bytes[1], bytes[2], bytes[3]);
	printf("read with '<I': %u\n", le32toh(wire));
	printf("read with '!I': %u\n", be32toh(wire));
	memcpy(&length, &three_gib, sizeof(length));
	printf("3 GiB in an int32: %d\n", length);
	return 0;
}
