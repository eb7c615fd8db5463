/* A tiny daemon for the client's tests: the server side of the engine on a unix socket, in the same
 * thread as the client, with commands that are a few lines each.
 *
 *   say OUT ERR CODE   writes both and exits          cat        copies stdin to stdout
 *   blast BYTES        a pattern, on both outputs     wait       until a signal or a cancel ends it
 *   deaf               closes its stdin, then waits */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/client.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "transport/tcp.h"
#include "transport/unix.h"

enum { CONNS_MAX = 4, JOBS_MAX = 64, PATIENCE_MS = 20000, OUTPUT_LIMIT = 64 << 20 };

/* ---- a command ---- */

struct output {
	struct wbi_source source;
	struct wbi_buf data; /* all of it, from the beginning */
};

struct command {
	struct wbi_call *call;
	struct output outputs[3];
	char name[32];
	uint64_t input_bytes;
};

static inline struct wbi_slice output_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct output *output = WBI_CONTAINER(source, struct output, source);
	struct wbi_slice slice = wbi_buf_peek(&output->data);

	slice.data += offset;
	slice.bytes -= (size_t)offset;
	if (slice.bytes > most)
		slice.bytes = most;
	return slice;
}

static const struct wbi_source_ops output_ops = {output_peek, NULL};

static inline void command_put(struct command *command, unsigned stream, const void *data,
			       size_t bytes)
{
	struct output *output = &command->outputs[stream];

	assert_int_equal(wbi_buf_append(&output->data, data, bytes), WB_OK);
	output->source.end += bytes;
	if (wbi_call_stream(command->call, stream))
		wbi_stream_wake(wbi_call_stream(command->call, stream));
}

static inline void command_exit(struct command *command, const struct wbi_exit *exit)
{
	for (unsigned i = 1; i < 3; i++) {
		command->outputs[i].source.ended = true;
		if (wbi_call_stream(command->call, i))
			wbi_stream_wake(wbi_call_stream(command->call, i));
	}
	wbi_call_exit(command->call, exit);
}

static inline void command_exit_code(struct command *command, uint32_t code)
{
	command_exit(
		command,
		&(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED, .has_code = true, .code = code});
}

static inline uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

/* ---- the daemon ---- */

struct server_conn {
	struct wbi_stream_link link;
	struct wbi_session_conn conn;
	bool open;
};

static struct server {
	char folder[64], uri[80];
	int listener;
	struct wbi_session *session;
	struct server_conn conns[CONNS_MAX];
	uint8_t scratch[WBI_SESSION_SCRATCH_BYTES];
	uint8_t instance;
	const char *refuse; /* answers every `hello` with this */
	bool refuse_retry;
	uint64_t cut_after; /* bytes of stdin after which the connection breaks; then again */
	uint64_t cut_seen;
	unsigned accepted, started, signals;
	bool suspended, said_bye;
	char last_signal[16], service[32], seen_argv[4][32], disconnect[16];
	uint64_t seen_argc, seen_envc, seen_job, seen_timeout_ms;
	char seen_cwd[32], seen_env[32];
	uint16_t rows, cols;
	struct command *commands[JOBS_MAX];
} server;

static inline void put_opened(struct wb_header_writer *writer, void *context)
{
	(void)context;
	wb_header_put_integer(writer, "job", 7);
	wb_header_put_integer(writer, "pid", 4711);
}

static inline const char *next_string(struct wbi_slice *rest)
{
	const char *text = (const char *)rest->data;
	size_t bytes = strnlen(text, rest->bytes) + 1;

	assert_true(bytes <= rest->bytes);
	rest->data += bytes;
	rest->bytes -= bytes;
	return text;
}

static inline void note_open(const struct wbi_event *event)
{
	struct wbi_slice rest = event->data;
	const struct wb_header *header = event->header;
	bool cwd = false;

	server.seen_argc = server.seen_envc = server.seen_timeout_ms = 0;
	if (wb_header_get_integer(header, "argc", &server.seen_argc, NULL) ||
	    wb_header_get_integer(header, "envc", &server.seen_envc, NULL))
		return;
	if (wb_header_find(header, "cwd"))
		assert_int_equal(wb_header_get_bool(header, "cwd", &cwd, NULL), WB_OK);
	if (wb_header_find(header, "timeout_ms"))
		assert_int_equal(
			wb_header_get_integer(header, "timeout_ms", &server.seen_timeout_ms, NULL),
			WB_OK);
	if (wb_header_find(header, "on_disconnect"))
		assert_int_equal(wb_header_get_text(header, "on_disconnect", server.disconnect,
						    sizeof(server.disconnect), NULL, NULL),
				 WB_OK);
	assert_true(server.seen_argc <= 4);
	for (uint64_t i = 0; i < server.seen_argc; i++)
		snprintf(server.seen_argv[i], sizeof(server.seen_argv[i]), "%s",
			 next_string(&rest));
	for (uint64_t i = 0; i < server.seen_envc; i++)
		snprintf(server.seen_env, sizeof(server.seen_env), "%s", next_string(&rest));
	if (cwd)
		snprintf(server.seen_cwd, sizeof(server.seen_cwd), "%s", next_string(&rest));
	assert_int_equal(rest.bytes, 0);
}

static inline struct command *command_new(struct wbi_call *call)
{
	struct command *command = calloc(1, sizeof(*command));

	assert_true(command && server.started < JOBS_MAX);
	command->call = call;
	snprintf(command->name, sizeof(command->name), "%s", server.seen_argv[0]);
	for (unsigned i = 1; i < 3; i++) {
		command->outputs[i].source.ops = &output_ops;
		wbi_buf_init(&command->outputs[i].data, OUTPUT_LIMIT);
	}
	server.commands[server.started++] = command;
	call->owner = command;
	return command;
}

static inline void blast(struct command *command, size_t bytes)
{
	uint8_t *data = malloc(bytes);

	assert_non_null(data);
	for (size_t i = 0; i < bytes; i++)
		data[i] = pattern(i);
	command_put(command, 1, data, bytes);
	command_put(command, 2, data, bytes);
	free(data);
}

static inline void start_exec(struct wbi_event *event)
{
	struct command *command;

	note_open(event);
	command = command_new(event->call);
	assert_int_equal(wbi_call_accept(event->call, NULL, put_opened, NULL, NULL), WB_OK);
	for (unsigned i = 1; i < 3; i++)
		if (wbi_call_stream(event->call, i))
			wbi_stream_set_source(wbi_call_stream(event->call, i),
					      &command->outputs[i].source);
	if (strcmp(command->name, "say") == 0) {
		command_put(command, 1, server.seen_argv[1], strlen(server.seen_argv[1]));
		command_put(command, 2, server.seen_argv[2], strlen(server.seen_argv[2]));
		command_exit_code(command, (uint32_t)strtoul(server.seen_argv[3], NULL, 10));
	} else if (strcmp(command->name, "blast") == 0) {
		blast(command, strtoul(server.seen_argv[1], NULL, 10));
		command_exit_code(command, 0);
	} else if (strcmp(command->name, "deaf") == 0) {
		wbi_stream_reset(wbi_call_stream(event->call, 0));
	}
}

static inline void on_open(struct wbi_event *event)
{
	snprintf(server.service, sizeof(server.service), "%s", event->call->service);
	if (strcmp(server.service, "exec") == 0) {
		start_exec(event);
		return;
	}
	if (wb_header_get_integer(event->header, "job", &server.seen_job, NULL) != WB_OK)
		server.seen_job = 0;
	wbi_call_exit(event->call, &(struct wbi_exit){.outcome = WBI_OUTCOME_REFUSED,
						      .error = "job",
						      .text = "no such job"});
}

static inline void on_input(struct wbi_session_conn *conn, struct wbi_event *event)
{
	struct command *command = event->call->owner;

	command->input_bytes += event->data.bytes;
	server.cut_seen += event->data.bytes;
	if (strcmp(command->name, "cat") == 0)
		command_put(command, 1, event->data.data, event->data.bytes);
	wbi_stream_consume(event->stream, event->data.bytes);
	/* The other end meets an end of stream and no word of why. */
	if (server.cut_after && server.cut_seen >= server.cut_after) {
		server.cut_seen = 0;
		shutdown(WBI_CONTAINER(conn, struct server_conn, conn)->link.watch.fd, SHUT_RDWR);
	}
}

static inline void on_signal(struct wbi_event *event)
{
	struct wbi_exit exit = {.outcome = WBI_OUTCOME_SIGNALED};

	server.signals++;
	snprintf(server.last_signal, sizeof(server.last_signal), "%s", event->text);
	snprintf(exit.signal, sizeof(exit.signal), "%s", event->text);
	command_exit(event->call->owner, &exit);
}

static inline void on_hello(struct wbi_session_conn *conn, const struct wbi_hello *hello)
{
	static const char *const services[] = {"exec", "jobs", "attach", "kill", NULL};
	static const char *const fields[] = {"pty", "shell", "timeout_ms", "on_disconnect", NULL};
	struct wbi_session_config config = {.role = WBI_SERVER,
					    .limits = wbi_session_limits_default,
					    .agent = "fixture",
					    .services = services,
					    .open_fields = fields};
	enum wb_err err;

	if (server.refuse) {
		wbi_carrier_refuse(conn->carrier, "refused", server.refuse_retry, server.refuse);
		return;
	}
	memset(config.instance, server.instance, sizeof(config.instance));
	if (!server.session)
		assert_int_equal(wbi_session_new(&config, hello->session, hello->secret,
						 wbi_clock_ms(), &server.session, NULL),
				 WB_OK);
	err = wbi_session_attach(server.session, conn->carrier, wbi_clock_ms(), NULL);
	assert_int_equal(err, WB_OK);
}

static inline void on_server_event(struct wbi_session_conn *conn, enum wbi_event_kind kind,
				   struct wbi_event *event)
{
	switch (kind) {
	case WBI_EVENT_HELLO:
		on_hello(conn, event->hello);
		break;
	case WBI_EVENT_OPEN:
		on_open(event);
		break;
	case WBI_EVENT_DATA:
		on_input(conn, event);
		break;
	case WBI_EVENT_EOF:
		if (strcmp(((struct command *)event->call->owner)->name, "cat") == 0)
			command_exit_code(event->call->owner, 0);
		break;
	case WBI_EVENT_SIGNAL:
		on_signal(event);
		break;
	case WBI_EVENT_RESIZE:
		server.rows = event->call->rows;
		server.cols = event->call->cols;
		break;
	case WBI_EVENT_CANCEL:
		command_exit(event->call->owner,
			     &(struct wbi_exit){.outcome = WBI_OUTCOME_CANCELLED});
		break;
	case WBI_EVENT_SUSPEND:
		server.suspended = true;
		break;
	case WBI_EVENT_BYE:
		server.said_bye = true;
		break;
	default:
		break;
	}
}

static inline void server_accept(void)
{
	struct wbi_session_config config = {.role = WBI_SERVER,
					    .limits = wbi_session_limits_default};
	struct wbi_carrier *carrier;
	struct server_conn *slot = server.conns;
	int fd;

	if (wbi_unix_accept(server.listener, &fd, NULL) != WB_OK)
		return;
	while (slot->open)
		assert_true(++slot < server.conns + CONNS_MAX);
	server.accepted++;
	assert_int_equal(wbi_stream_link_init(&slot->link, NULL, fd, NULL, 0, NULL), WB_OK);
	assert_int_equal(wbi_carrier_new(&config, wbi_clock_ms(), &carrier), WB_OK);
	wbi_session_conn_init(&slot->conn, &slot->link.link, carrier, server.scratch,
			      on_server_event);
	slot->open = true;
}

static inline void server_conn_close(struct server_conn *slot)
{
	if (!slot->open)
		return;
	wbi_session_conn_done(&slot->conn);
	wbi_link_close(&slot->link.link);
	slot->open = false;
}

/* Everything that the daemon knew is gone; what listens goes on. */
static inline void server_forget(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++)
		server_conn_close(&server.conns[i]);
	wbi_session_free(server.session);
	server.session = NULL;
	for (unsigned i = 0; i < server.started; i++) {
		wbi_buf_done(&server.commands[i]->outputs[1].data);
		wbi_buf_done(&server.commands[i]->outputs[2].data);
		free(server.commands[i]);
	}
	server.started = 0;
	server.instance++;
}

/* ---- both, turn by turn ---- */

static inline void server_turn(const struct pollfd *fds)
{
	if (fds[0].revents)
		server_accept();
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		struct server_conn *slot = &server.conns[i];
		short ready = fds[1 + i].revents;

		if (!slot->open)
			continue;
		wbi_session_conn_process(&slot->conn,
					 (ready & POLLIN ? WBI_READ : 0) |
						 (ready & POLLOUT ? WBI_WRITE : 0) |
						 (ready & (POLLHUP | POLLERR) ? WBI_HANGUP : 0),
					 wbi_clock_ms());
		if (wbi_session_conn_over(&slot->conn))
			server_conn_close(slot);
	}
}

static inline void server_wants(struct pollfd *fds)
{
	fds[0] = (struct pollfd){server.listener, POLLIN, 0};
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		struct server_conn *slot = &server.conns[i];
		unsigned wants = slot->open ? wbi_session_conn_wants(&slot->conn) : 0;

		fds[1 + i] = (struct pollfd){slot->open ? slot->link.watch.fd : -1,
					     (short)((wants & WBI_READ ? POLLIN : 0) |
						     (wants & WBI_WRITE ? POLLOUT : 0)),
					     0};
	}
}

/* One turn of both; a client may be NULL. Waits for at most 100 ms. */
static inline void turn(struct wb_client *client)
{
	struct pollfd fds[2 + CONNS_MAX];
	int wait_ms = client ? wb_client_timeout_ms(client) : 100;

	server_wants(fds);
	fds[1 + CONNS_MAX] = (struct pollfd){client ? wb_client_fd(client) : -1,
					     client ? wb_client_events(client) : (short)0, 0};
	if (wait_ms < 0 || wait_ms > 100)
		wait_ms = 100;
	assert_true(poll(fds, 2 + CONNS_MAX, wait_ms) >= 0);
	server_turn(fds);
	if (client)
		wb_client_process(client, fds[1 + CONNS_MAX].revents);
}

/* A turn of the client alone: the daemon is deaf meanwhile. */
static inline void client_turn(struct wb_client *client)
{
	struct pollfd fd = {wb_client_fd(client), wb_client_events(client), 0};

	assert_true(poll(&fd, 1, wb_client_timeout_ms(client) ? 20 : 0) >= 0);
	wb_client_process(client, fd.revents);
}

/* Turns until the condition holds. */
#define TURN_UNTIL(client, condition)                                                              \
	do {                                                                                       \
		uint64_t until_ms = wbi_clock_ms() + PATIENCE_MS;                                  \
		while (!(condition)) {                                                             \
			turn(client);                                                              \
			if (wbi_clock_ms() > until_ms)                                             \
				fail_msg("not within %d ms: %s", PATIENCE_MS, #condition);         \
		}                                                                                  \
	} while (0)

static inline void server_listen(void)
{
	struct wbi_uri uri = {.transport = WBI_UNIX};
	struct wbi_addr addr;
	unsigned count;

	snprintf(uri.host, sizeof(uri.host), "%s/s", server.folder);
	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	assert_int_equal(wbi_unix_listen(&addr, 0600, &server.listener, NULL), WB_OK);
}

static inline int server_start(void **state)
{
	(void)state;
	memset(&server, 0, sizeof(server));
	server.instance = 1;
	snprintf(server.folder, sizeof(server.folder), "/tmp/waybill-test-XXXXXX");
	if (!mkdtemp(server.folder))
		return -1;
	snprintf(server.uri, sizeof(server.uri), "unix://%s/s", server.folder);
	server_listen();
	return 0;
}

static inline int server_stop(void **state)
{
	char path[80];

	(void)state;
	server_forget();
	wbi_fd_close(&server.listener);
	snprintf(path, sizeof(path), "%s/s", server.folder);
	unlink(path);
	return rmdir(server.folder);
}

#endif
