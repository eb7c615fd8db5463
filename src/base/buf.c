/* The bounded buffer: every byte that waits for somebody waits in one of these. */
#include "base/buf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 256 };

static void check(const struct wbi_buf *buf)
{
	assert(buf->head <= buf->tail && buf->tail <= buf->room && buf->room <= buf->limit);
	assert(!buf->room == !buf->data);
}

void wbi_buf_init(struct wbi_buf *buf, size_t limit)
{
	*buf = (struct wbi_buf){.limit = limit};
}

void wbi_buf_reset(struct wbi_buf *buf)
{
	free(buf->data);
	wbi_buf_init(buf, buf->limit);
}

void wbi_buf_done(struct wbi_buf *buf)
{
	if (buf)
		wbi_buf_reset(buf);
}

size_t wbi_buf_bytes(const struct wbi_buf *buf)
{
	return buf->tail - buf->head;
}

struct wbi_slice wbi_buf_peek(const struct wbi_buf *buf)
{
	size_t bytes = wbi_buf_bytes(buf);

	return (struct wbi_slice){.data = bytes ? buf->data + buf->head : NULL, .bytes = bytes};
}

static void move_to_front(struct wbi_buf *buf)
{
	size_t held = wbi_buf_bytes(buf);

	memmove(buf->data, buf->data + buf->head, held);
	buf->head = 0;
	buf->tail = held;
}

/* Moves what is held into fresh memory of at least `want` bytes, want <= limit. */
static enum wb_err grow(struct wbi_buf *buf, size_t want)
{
	size_t held = wbi_buf_bytes(buf);
	size_t room = buf->room > buf->limit / 2 ? buf->limit : 2 * buf->room;
	uint8_t *data;

	if (room < ROOM_MIN)
		room = ROOM_MIN < buf->limit ? ROOM_MIN : buf->limit;
	if (room < want)
		room = want;
	data = malloc(room);
	if (!data)
		return WB_ERR_NOMEM;
	if (held)
		memcpy(data, buf->data + buf->head, held);
	free(buf->data);
	*buf = (struct wbi_buf){.data = data, .tail = held, .room = room, .limit = buf->limit};
	return WB_OK;
}

enum wb_err wbi_buf_reserve(struct wbi_buf *buf, size_t bytes, uint8_t **ret_data)
{
	size_t held = wbi_buf_bytes(buf);
	enum wb_err err;

	check(buf);
	if (bytes > buf->limit - held)
		return WB_ERR_LIMIT;
	if (bytes > buf->room - buf->tail) {
		/* Moving pays only where it frees as much as it moves; a queue that is drained in
		 * small bites would else be moved at every bite. At the limit there is no choice.
		 */
		bool fits = bytes <= buf->room - held;

		if (fits && (buf->head >= held || buf->room == buf->limit))
			move_to_front(buf);
		else if ((err = grow(buf, held + bytes)))
			return err;
	}
	*ret_data = buf->data ? buf->data + buf->tail : NULL;
	return WB_OK;
}

void wbi_buf_commit(struct wbi_buf *buf, size_t bytes)
{
	assert(bytes <= buf->room - buf->tail);
	buf->tail += bytes;
}

enum wb_err wbi_buf_append(struct wbi_buf *buf, const void *data, size_t bytes)
{
	uint8_t *to;
	enum wb_err err;

	if (!bytes)
		return WB_OK;
	err = wbi_buf_reserve(buf, bytes, &to);
	if (err)
		return err;
	memcpy(to, data, bytes);
	wbi_buf_commit(buf, bytes);
	return WB_OK;
}

void wbi_buf_consume(struct wbi_buf *buf, size_t bytes)
{
	assert(bytes <= wbi_buf_bytes(buf));
	buf->head += bytes;
	if (buf->head == buf->tail)
		buf->head = buf->tail = 0;
}
