/* The program: one table of commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/opt.h"
#include "sys/fd.h"
#include "waybill/waybill.h"

static const struct wbi_command *const commands[] = {
	&wbi_command_serve, &wbi_command_exec,   &wbi_command_put,  &wbi_command_get,
	&wbi_command_jobs,  &wbi_command_attach, &wbi_command_kill, &wbi_command_keygen,
	&wbi_command_trust, &wbi_command_talk,   &wbi_command_lab,
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(*commands) };

static const char help_name[] = "help";
static const char help_summary[] = "show this list, or the help of one command";

static const struct wbi_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int name_columns(void)
{
	size_t columns = sizeof(help_name) - 1;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strlen(commands[i]->name) > columns)
			columns = strlen(commands[i]->name);
	return (int)columns;
}

static int print_commands(FILE *out, int code)
{
	int columns = name_columns();

	fprintf(out, "usage: waybill COMMAND [options] ...\n"
		     "       waybill --version\n\n"
		     "Run commands, move files and exchange messages between machines.\n\n"
		     "Commands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-*s  %s\n", columns, commands[i]->name, commands[i]->summary);
	fprintf(out, "  %-*s  %s\n", columns, help_name, help_summary);
	fprintf(out, "\n'waybill help COMMAND' shows how to use a command.\n");
	return code;
}

static int wrong_command(const char *name)
{
	char shown[64];

	wbi_text_escape_message(name, shown, sizeof(shown));
	fprintf(stderr, "waybill: '%s': there is no such command; see 'waybill help'\n", shown);
	return WBI_EXIT_USAGE;
}

static int run_help(int argc, char **argv)
{
	static char help_option[] = "--help";
	const struct wbi_command *command;
	char *help_argv[] = {NULL, help_option, NULL};

	if (argc < 2)
		return print_commands(stdout, 0);
	if (argc > 2) {
		fprintf(stderr, "waybill help: one command at a time; see 'waybill help'\n");
		return WBI_EXIT_USAGE;
	}
	if (strcmp(argv[1], help_name) == 0)
		return print_commands(stdout, 0);
	command = find_command(argv[1]);
	if (!command)
		return wrong_command(argv[1]);
	help_argv[0] = argv[1];
	return command->run(command, 2, help_argv);
}

static int run(int argc, char **argv)
{
	const struct wbi_command *command;

	if (argc < 2)
		return print_commands(stderr, WBI_EXIT_USAGE);
	if (strcmp(argv[1], "--version") == 0) {
		printf("waybill %s\n", WB_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_commands(stdout, 0);
	if (strcmp(argv[1], help_name) == 0)
		return run_help(argc - 1, argv + 1);
	command = find_command(argv[1]);
	return command ? command->run(command, argc - 1, argv + 1) : wrong_command(argv[1]);
}

int main(int argc, char **argv)
{
	struct wb_fault fault;
	int code;

	if (wbi_fd_open_stdio(&fault) != WB_OK) {
		fprintf(stderr, "waybill: %s\n", fault.text);
		return EXIT_FAILURE;
	}
	code = run(argc, argv);
	/* A full disk behind stdout is seen only when the last bytes are written. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
		fprintf(stderr, "waybill: stdout: the output could not be written\n");
		code = EXIT_FAILURE;
	}
	return code;
}
