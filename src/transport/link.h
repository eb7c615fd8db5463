/* A link: one connection's bytes, never blocking, whatever carries them.
 *
 * The one interface that everything above stands on; every stream transport implements it. */
#ifndef WBI_LINK_H
#define WBI_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sys/loop.h"

struct wbi_link;

/* Something can be done: WBI_READ or WBI_WRITE as asked for with wbi_link_want, and WBI_HANGUP
 * unasked (see sys/loop.h). May close the link and free its owner. */
typedef void wbi_link_fn(struct wbi_link *link, unsigned events);

struct wbi_link_ops {
	const char *name;
	ssize_t (*read)(struct wbi_link *link, void *data, size_t bytes);
	ssize_t (*write)(struct wbi_link *link, const struct iovec *parts, int count);
	/* Moves file bytes without a copy through us; NULL: the caller reads and writes. */
	ssize_t (*send_file)(struct wbi_link *link, int file, off_t offset, size_t bytes);
	void (*want)(struct wbi_link *link, unsigned events);
	int (*shutdown)(struct wbi_link *link);
	void (*close)(struct wbi_link *link);
};

/* Part of what each transport builds, which finds itself with WBI_CONTAINER. */
struct wbi_link {
	const struct wbi_link_ops *ops;
	wbi_link_fn *fn;
};

/* Reads up to `bytes`. Returns > 0; 0 at the end of the stream; -EAGAIN; or another -errno, after
 * which only close is allowed. */
static inline ssize_t wbi_link_read(struct wbi_link *link, void *data, size_t bytes)
{
	return link->ops->read(link, data, bytes);
}

/* Writes as much as is taken now. Returns > 0, -EAGAIN, or another -errno (-EPIPE, -ECONNRESET; no
 * signal is raised). */
static inline ssize_t wbi_link_write(struct wbi_link *link, const struct iovec *parts, int count)
{
	return link->ops->write(link, parts, count);
}

/* What wbi_link_fn is to be called for from now on. */
static inline void wbi_link_want(struct wbi_link *link, unsigned events)
{
	link->ops->want(link, events);
}

/* No more writes; the peer reads an end of stream behind what was written. 0 or -errno. */
static inline int wbi_link_shutdown(struct wbi_link *link)
{
	return link->ops->shutdown(link);
}

/* Closes. Unread input makes TCP send a reset; see tcp.h. */
static inline void wbi_link_close(struct wbi_link *link)
{
	link->ops->close(link);
}

#endif
