/* TCP keeps the order of bytes and forgets where a message began. This sends two messages over a
 * real connection, reads both with one recv, and takes them apart again with libwaybill.
 *
 *     cc glue.c $(pkg-config --cflags --libs waybill) */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <waybill/waybill.h>

enum { MESSAGE_MAX = 64, BUFFER_BYTES = 256, COLUMNS = 16 };

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

/* A connection to ourselves: ends[0] sends, ends[1] receives. */
static void connect_pair(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(listener, (struct sockaddr *)&address, bytes), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &bytes), "getsockname");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(ends[0], (struct sockaddr *)&address, bytes), "connect");
	ends[1] = accept(listener, NULL, NULL);
	check(ends[1], "accept");
}

static void send_message(int fd, const char *message)
{
	uint8_t frame[WB_LENGTH_BYTES + MESSAGE_MAX];
	size_t bytes = strlen(message);

	if (bytes > MESSAGE_MAX || wb_length_encode(WB_LENGTH_U32_LE, bytes, frame, NULL) != WB_OK)
		exit(1);
	memcpy(frame + WB_LENGTH_BYTES, message, bytes);
	check((int)send(fd, frame, WB_LENGTH_BYTES + bytes, 0), "send");
	printf("sent     \"%s\"\n", message);
}

static void print_hex(const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += COLUMNS) {
		printf("   ");
		for (size_t i = at; i < at + COLUMNS; i++)
			i < bytes ? printf(" %02x", data[i]) : printf("   ");
		printf("  ");
		for (size_t i = at; i < at + COLUMNS && i < bytes; i++)
			putchar(data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
		putchar('\n');
	}
}

int main(void)
{
	int ends[2];
	struct pollfd ended = {.events = POLLRDHUP};
	uint8_t buffer[BUFFER_BYTES];
	ssize_t bytes;
	struct wb_frame frame;
	struct wb_fault fault;

	connect_pair(ends);
	send_message(ends[0], "first message");
	send_message(ends[0], "and the second");
	check(shutdown(ends[0], SHUT_WR), "shutdown");

	ended.fd = ends[1];
	check(poll(&ended, 1, -1), "poll"); /* until everything has arrived */
	bytes = recv(ends[1], buffer, sizeof(buffer), 0);
	check((int)bytes, "recv");
	printf("one recv %zd bytes, glued together:\n", bytes);
	print_hex(buffer, (size_t)bytes);

	for (size_t at = 0; at < (size_t)bytes; at += frame.consumed) {
		if (wb_frame_decode(WB_LENGTH_U32_LE, buffer + at, (size_t)bytes - at, MESSAGE_MAX,
				    &frame, &fault) != WB_DECODE_DONE)
			return 1;
		printf("decoded  \"%.*s\"\n", (int)frame.payload_bytes,
		       (const char *)frame.payload);
	}
	return 0;
}
