/* Runs several shell lines at once in one session, from one loop of our own: a line of stdin each
 * goes to all of them, and what they print comes out with their number before it.
 *
 *     cc side_by_side.c $(pkg-config --cflags --libs waybill)
 *     seq 3 | ./a.out local 'sort -r' 'sed s/^/number-/' 'exit 3' */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <waybill/client.h>

enum { COMMANDS_MAX = 16, LINE_BYTES = 1024, PIECE_BYTES = 4096 };

static struct command {
	struct wb_call *call;
	char line[LINE_BYTES]; /* of output, as far as it has come */
	size_t line_bytes;
} commands[COMMANDS_MAX];

static struct wb_client *client;
static int running, failures;

static int number_of(const struct command *command)
{
	return (int)(command - commands) + 1;
}

static void print_line(struct command *command)
{
	printf("%d: %.*s\n", number_of(command), (int)command->line_bytes, command->line);
	command->line_bytes = 0;
}

/* Takes everything, so nothing is offered twice. A call that took less would have to pull later,
 * and meanwhile its command would wait, and nobody else. */
static size_t on_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			void *context)
{
	struct command *command = context;

	(void)call;
	(void)stream;
	for (const char *c = data; c < (const char *)data + bytes; c++) {
		if (*c == '\n' || command->line_bytes == LINE_BYTES)
			print_line(command);
		if (*c != '\n')
			command->line[command->line_bytes++] = *c;
	}
	return bytes;
}

static void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct command *command = context;

	if (command->line_bytes > 0)
		print_line(command);
	printf("%d: %s %u\n", number_of(command), wb_outcome_name(result->outcome), result->code);
	if (result->outcome != WB_OUTCOME_EXITED || !result->complete || result->code != 0)
		failures++;
	wb_call_free(call);
	command->call = NULL;
	if (--running == 0)
		wb_client_close(client);
}

static const struct wb_call_callbacks callbacks = {.output = on_output, .ended = on_ended};

/* How much every command that still reads would take now. */
static size_t common_room(void)
{
	size_t room = PIECE_BYTES;

	for (struct command *c = commands; c < commands + COMMANDS_MAX; c++)
		if (c->call && !wb_call_input_closed(c->call) && wb_call_input_room(c->call) < room)
			room = wb_call_input_room(c->call);
	return room;
}

/* Gives what stdin has to every command that reads. Returns whether there is more. */
static bool feed(void)
{
	char data[PIECE_BYTES];
	size_t taken;
	ssize_t bytes = read(STDIN_FILENO, data, common_room());

	for (struct command *c = commands; c < commands + COMMANDS_MAX; c++) {
		if (!c->call || wb_call_input_closed(c->call))
			continue;
		if (bytes <= 0)
			wb_call_end_input(c->call);
		else if (wb_call_write(c->call, data, (size_t)bytes, &taken) != WB_OK)
			failures++;
	}
	return bytes > 0;
}

static int loop(void)
{
	bool more_input = true;

	while (!wb_client_is_closed(client)) {
		struct pollfd fds[] = {
			{wb_client_fd(client), wb_client_events(client), 0},
			{more_input && common_room() > 0 ? STDIN_FILENO : -1, POLLIN, 0},
		};

		if (poll(fds, 2, wb_client_timeout_ms(client)) < 0 && errno != EINTR) {
			perror("poll");
			return 1;
		}
		if (fds[1].revents)
			more_input = feed();
		wb_client_process(client, fds[0].revents);
	}
	return failures > 0;
}

int main(int argc, char **argv)
{
	const struct wb_client_options options = {.uri = argv[1], .retry_ms = WB_RETRY_AS_HELD};
	struct wb_fault fault = {0};
	int code = 1;

	if (argc < 3 || argc - 2 > COMMANDS_MAX) {
		fprintf(stderr, "usage: %s URI LINE...\n", argv[0]);
		return 2;
	}
	if (wb_client_new(&options, &client, &fault) != WB_OK)
		goto out;
	for (int i = 2; i < argc; i++) {
		const char *const line[] = {argv[i], NULL};
		const struct wb_exec exec = {.argv = line, .shell = true};
		struct command *command = &commands[running];

		if (wb_client_exec(client, &exec, &callbacks, command, &command->call, &fault) !=
		    WB_OK)
			goto out;
		running++;
	}
	code = loop();
out:
	if (fault.text[0])
		fprintf(stderr, "%s\n", fault.text);
	wb_client_free(client);
	return code;
}
