/* A client of ssh-agent: see agent.h. */
#include "transport/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/text.h"
#include "keys/blob.h"
#include "sys/clock.h"
#include "sys/fd.h"

/* Messages of the protocol. */
enum {
	FAILURE = 5,
	LIST_REQUEST = 11,
	LIST_ANSWER = 12,
	SIGN_REQUEST = 13,
	SIGN_ANSWER = 14,
	EXTENDED_FAILURE = 30,
};

enum {
	SIGN_BYTES_MAX = 4096,
	REQUEST_MAX = 4 + 1 + 4 + WBI_PUBLIC_KEY_BLOB_BYTES + 4 + SIGN_BYTES_MAX + 4,
};

struct wbi_agent {
	int fd;
	int timeout_ms;
	uint64_t deadline_ms; /* of the request under way */
	struct wbi_buf reply;
};

/* ---- bytes, with a deadline ---- */

static enum wb_err await(struct wbi_agent *agent, short events, struct wb_fault *fault)
{
	struct pollfd wait = {.fd = agent->fd, .events = events};
	int ready;

	do {
		uint64_t now_ms = wbi_clock_ms();

		ready = now_ms >= agent->deadline_ms
				? 0
				: poll(&wait, 1, (int)(agent->deadline_ms - now_ms));
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "ssh-agent: poll: %m");
	if (ready == 0)
		return wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0,
				    "ssh-agent: no answer within %d ms", agent->timeout_ms);
	return WB_OK;
}

static enum wb_err send_all(struct wbi_agent *agent, const uint8_t *data, size_t bytes,
			    struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	while (!err && bytes > 0) {
		ssize_t n = send(agent->fd, data, bytes, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "ssh-agent: write: %m");
		if (n < 0) {
			err = await(agent, POLLOUT, fault);
			continue;
		}
		data += n;
		bytes -= (size_t)n;
	}
	return err;
}

static enum wb_err receive_all(struct wbi_agent *agent, uint8_t *data, size_t bytes,
			       struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	while (!err && bytes > 0) {
		ssize_t n = recv(agent->fd, data, bytes, 0);

		if (n == 0)
			return wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0,
					    "ssh-agent: it hung up before its answer was whole");
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "ssh-agent: read: %m");
		if (n < 0) {
			err = await(agent, POLLIN, fault);
			continue;
		}
		data += n;
		bytes -= (size_t)n;
	}
	return err;
}

/* ---- requests ---- */

static enum wb_err receive_reply(struct wbi_agent *agent, struct wb_fault *fault)
{
	uint8_t head[4], *body;
	struct wbi_slice length = {head, sizeof(head)};
	uint32_t bytes;
	enum wb_err err = receive_all(agent, head, sizeof(head), fault);

	if (err)
		return err;
	if (!wbi_blob_u32(&length, &bytes) || bytes == 0)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "ssh-agent: an empty answer");
	wbi_buf_reset(&agent->reply);
	err = wbi_buf_reserve(&agent->reply, bytes, &body);
	if (err)
		return wb_fault_set(fault, err, NULL, 0, "ssh-agent: an answer of %u bytes",
				    (unsigned)bytes);
	err = receive_all(agent, body, bytes, fault);
	if (!err)
		wbi_buf_commit(&agent->reply, bytes);
	return err;
}

/* Sends a request and awaits the answer of that type. ret_body: what follows the type. */
static enum wb_err ask(struct wbi_agent *agent, const uint8_t *request, size_t bytes, int wanted,
		       struct wbi_slice *ret_body, struct wb_fault *fault)
{
	struct wbi_slice reply;
	enum wb_err err;

	agent->deadline_ms = wbi_clock_ms() + (uint64_t)agent->timeout_ms;
	err = send_all(agent, request, bytes, fault);
	if (!err)
		err = receive_reply(agent, fault);
	if (err)
		return err;
	reply = wbi_buf_peek(&agent->reply);
	if (reply.data[0] == FAILURE || reply.data[0] == EXTENDED_FAILURE)
		return wb_fault_set(
			fault, WB_ERR_REFUSED, NULL, 0,
			"ssh-agent refuses: it does not hold the key, is locked, or its "
			"user said no");
	if (reply.data[0] != wanted)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
				    "ssh-agent: an answer to something else (%d)", reply.data[0]);
	*ret_body = (struct wbi_slice){reply.data + 1, reply.bytes - 1};
	return WB_OK;
}

static enum wb_err bad_answer(struct wb_fault *fault)
{
	return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "ssh-agent: a damaged answer");
}

enum wb_err wbi_agent_list(struct wbi_agent *agent, struct wbi_agent_key *keys, size_t room,
			   size_t *ret_count, size_t *ret_others, struct wb_fault *fault)
{
	static const uint8_t request[] = {0, 0, 0, 1, LIST_REQUEST};
	struct wbi_slice body, blob, comment;
	size_t count = 0, others = 0;
	uint32_t left;
	enum wb_err err = ask(agent, request, sizeof(request), LIST_ANSWER, &body, fault);

	if (err)
		return err;
	if (!wbi_blob_u32(&body, &left))
		return bad_answer(fault);
	for (; left > 0; left--) {
		struct wbi_public_key key;

		if (!wbi_blob_string(&body, &blob) || !wbi_blob_string(&body, &comment))
			return bad_answer(fault);
		if (wbi_public_key_from_blob(blob.data, blob.bytes, &key, NULL)) {
			others++;
		} else if (count < room) {
			keys[count].key = key;
			wbi_text_escape(comment.data, comment.bytes, keys[count].comment,
					sizeof(keys[count].comment), NULL);
			count++;
		}
	}
	*ret_count = count;
	if (ret_others)
		*ret_others = others;
	return WB_OK;
}

static size_t write_sign_request(uint8_t *request, const struct wbi_public_key *key,
				 const void *data, size_t bytes)
{
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES], *end = request + 4;

	wbi_public_key_to_blob(key, blob);
	*end++ = SIGN_REQUEST;
	end = wbi_blob_put_string(end, blob, sizeof(blob));
	end = wbi_blob_put_string(end, data, bytes);
	end = wbi_blob_put_u32(end, 0); /* no flags */
	wbi_blob_put_u32(request, (uint32_t)(end - request) - 4);
	return (size_t)(end - request);
}

enum wb_err wbi_agent_sign(struct wbi_agent *agent, const struct wbi_public_key *key,
			   const void *data, size_t bytes,
			   uint8_t ret_signature[WBI_SIGNATURE_BYTES], struct wb_fault *fault)
{
	uint8_t request[REQUEST_MAX];
	struct wbi_slice body, whole, kind, signature;
	enum wb_err err;

	if (bytes > SIGN_BYTES_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "ssh-agent: too much to sign");
	err = ask(agent, request, write_sign_request(request, key, data, bytes), SIGN_ANSWER, &body,
		  fault);
	if (err)
		return err;
	if (!wbi_blob_string(&body, &whole) || !wbi_blob_string(&whole, &kind) ||
	    !wbi_blob_string(&whole, &signature) || kind.bytes != strlen(WBI_ED25519_NAME) ||
	    memcmp(kind.data, WBI_ED25519_NAME, kind.bytes) != 0 ||
	    signature.bytes != WBI_SIGNATURE_BYTES)
		return bad_answer(fault);
	memcpy(ret_signature, signature.data, WBI_SIGNATURE_BYTES);
	return WB_OK;
}

/* ---- the connection ---- */

/* A socket's full queue fails at once where it does not block; an agent that is that busy has gone
 * astray. */
static enum wb_err dial(struct wbi_agent *agent, const struct sockaddr_un *address,
			struct wb_fault *fault)
{
	agent->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent->fd < 0 ||
	    connect(agent->fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return wb_fault_set(fault, errno == EAGAIN ? WB_ERR_TIMEOUT : WB_ERR_SYSTEM, NULL,
				    0, "ssh-agent at %s: %m", address->sun_path);
	return WB_OK;
}

enum wb_err wbi_agent_open(const char *path, int timeout_ms, struct wbi_agent **ret_agent,
			   struct wb_fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct wbi_agent *agent;
	enum wb_err err;

	if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "ssh-agent: '%s' can be no socket's path", path);
	memcpy(address.sun_path, path, strlen(path));
	agent = calloc(1, sizeof(*agent));
	if (!agent)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "ssh-agent: no memory");
	agent->timeout_ms = timeout_ms;
	wbi_buf_init(&agent->reply, WBI_AGENT_REPLY_MAX);
	err = dial(agent, &address, fault);
	if (err) {
		wbi_agent_close(agent);
		return err;
	}
	*ret_agent = agent;
	return WB_OK;
}

void wbi_agent_close(struct wbi_agent *agent)
{
	if (!agent)
		return;
	wbi_fd_close(&agent->fd);
	wbi_buf_done(&agent->reply);
	free(agent);
}
