/* Plain connections: see plain.h. */
#include "conn/plain.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum wb_err wbi_plain_env_init(struct wbi_plain_env *env, struct wbi_loop *loop)
{
	env->scratch = malloc(WBI_PLAIN_SCRATCH_BYTES);
	if (!env->scratch)
		return WB_ERR_NOMEM;
	env->loop = loop;
	env->count = 0;
	env->closed = NULL;
	wbi_list_init(&env->connections);
	return WB_OK;
}

void wbi_plain_env_done(struct wbi_plain_env *env)
{
	if (!env->scratch)
		return;
	while (!wbi_list_empty(&env->connections))
		wbi_plain_close(WBI_CONTAINER(env->connections.next, struct wbi_plain, node));
	free(env->scratch);
	env->scratch = NULL;
}

/* A finishing connection only waits for the peer to have read, which its end of stream tells. */
static void pass_over(struct wbi_plain *plain, ssize_t bytes)
{
	if (bytes <= 0 || (size_t)bytes > plain->linger_left) {
		wbi_plain_close(plain);
		return;
	}
	plain->linger_left -= (uint32_t)bytes;
}

static void on_readable(struct wbi_plain *plain)
{
	ssize_t bytes =
		wbi_link_read(&plain->stream.link, plain->env->scratch, WBI_PLAIN_SCRATCH_BYTES);

	if (bytes == -EAGAIN)
		return;
	if (plain->finishing)
		pass_over(plain, bytes);
	else if (bytes > 0)
		plain->ops->input(plain, plain->env->scratch, (size_t)bytes);
	else if (bytes == 0)
		plain->ops->end(plain);
	else
		wbi_plain_close(plain);
}

/* One call to the service an event: after it the connection may be gone. What else is ready is
 * reported again, for watches are level-triggered. */
static void on_link(struct wbi_link *link, unsigned events)
{
	struct wbi_plain *plain = WBI_CONTAINER(link, struct wbi_plain, stream.link);

	if (events & WBI_READ)
		on_readable(plain);
	else if (events & WBI_HANGUP)
		wbi_plain_close(plain);
	else if (events & WBI_WRITE)
		plain->ops->writable(plain);
	else if (events & WBI_PEER_END)
		plain->ops->hung_up(plain);
}

static void on_timer(struct wbi_timer *timer)
{
	struct wbi_plain *plain = WBI_CONTAINER(timer, struct wbi_plain, timer);

	if (plain->finishing)
		wbi_plain_close(plain);
	else
		plain->ops->expired(plain);
}

enum wb_err wbi_plain_init(struct wbi_plain *plain, struct wbi_plain_env *env,
			   const struct wbi_plain_ops *ops, int fd, struct wb_fault *fault)
{
	enum wb_err err;

	*plain = (struct wbi_plain){.ops = ops, .env = env, .timer = {.fn = on_timer}};
	err = wbi_stream_link_init(&plain->stream, env->loop, fd, on_link, WBI_READ, fault);
	if (err)
		return err;
	wbi_list_append(&env->connections, &plain->node);
	env->count++;
	return WB_OK;
}

void wbi_plain_want(struct wbi_plain *plain, unsigned events)
{
	wbi_link_want(&plain->stream.link, events);
}

void wbi_plain_close(struct wbi_plain *plain)
{
	struct wbi_plain_env *env = plain->env;

	wbi_loop_cancel(env->loop, &plain->timer);
	wbi_list_remove(&plain->node);
	wbi_link_close(&plain->stream.link);
	plain->ops->done(plain);
	env->count--;
	if (env->closed)
		env->closed(env);
}

void wbi_plain_finish(struct wbi_plain *plain)
{
	plain->finishing = true;
	plain->linger_left = WBI_PLAIN_LINGER_BYTES;
	if (wbi_link_shutdown(&plain->stream.link) != 0 ||
	    wbi_loop_timer(plain->env->loop, &plain->timer, WBI_PLAIN_LINGER_MS) != WB_OK) {
		wbi_plain_close(plain);
		return;
	}
	wbi_plain_want(plain, WBI_READ);
}

void wbi_plain_leave(struct wbi_plain *plain)
{
	int fd = plain->stream.watch.fd, unread = 0, unsent = 0;

	if (ioctl(fd, FIONREAD, &unread) == 0 && ioctl(fd, SIOCOUTQ, &unsent) == 0 && unread == 0 &&
	    unsent == 0)
		wbi_plain_close(plain);
	else
		wbi_plain_finish(plain);
}

void wbi_plain_peer_text(const struct wbi_plain *plain, char out[WBI_ADDR_TEXT_MAX])
{
	struct wbi_addr addr = {.bytes = sizeof(addr.storage)};

	if (getpeername(plain->stream.watch.fd, &addr.any, &addr.bytes) != 0)
		addr = (struct wbi_addr){.any.sa_family = AF_UNIX, .bytes = sizeof(sa_family_t)};
	wbi_addr_format(&addr, out);
}
