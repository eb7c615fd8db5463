/* The programs of lab/code, built in as they are, so that the ones printed are the ones tested. */
#include <string.h>

#include "lab/view.h"

/* One line for each experiment: a C symbol, and the name. */
#define PROGRAMS(X)                                                                                \
	X(sticky, "sticky")                                                                        \
	X(partial_write, "partial-write")                                                          \
	X(nagle, "nagle")                                                                          \
	X(backlog, "backlog")                                                                      \
	X(reuseaddr, "reuseaddr")                                                                  \
	X(close, "close")                                                                          \
	X(handshake, "handshake")                                                                  \
	X(one_at_a_time, "one-at-a-time")                                                          \
	X(dead_peer, "dead-peer")                                                                  \
	X(udp_boundary, "udp-boundary")                                                            \
	X(udp_truncate, "udp-truncate")                                                            \
	X(udp_size, "udp-size")                                                                    \
	X(udp_loss, "udp-loss")                                                                    \
	X(udp_concurrent, "udp-concurrent")                                                        \
	X(byte_order, "byte-order")                                                                \
	X(encoding, "encoding")

/* A text that ends in a NUL. The path is relative to the project's root, where make runs. */
#define EMBED(symbol, path)                                                                        \
	extern const char symbol[];                                                                \
	__asm__(".section .rodata\n.global " #symbol "\n" #symbol ":\n.incbin \"" path             \
		"\"\n.byte 0\n.previous\n");
#define EMBED_BOTH(symbol, name)                                                                   \
	EMBED(lab_code_c_##symbol, "lab/code/" name ".c")                                          \
	EMBED(lab_code_python_##symbol, "lab/code/" name ".py")
PROGRAMS(EMBED_BOTH)

#define ROW(symbol, name_) {name_, {lab_code_c_##symbol, lab_code_python_##symbol}},
static const struct {
	const char *name, *text[2];
} programs[] = {PROGRAMS(ROW)};

const char *lab_code(const struct lab_experiment *experiment, enum lab_code code)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(programs[i].name, experiment->name) == 0)
			return programs[i].text[code];
	return "";
}

void lab_show_code(const struct lab_view *view, const struct lab_experiment *experiment,
		   enum lab_code code)
{
	const char *name = experiment->name, *title = lab_say(view, experiment->title);

	if (code == LAB_CODE_C)
		fprintf(view->out, "/* %s\n * cc -Wall -Wextra -pthread -o %s %s.c && ./%s */\n",
			title, name, name, name);
	else
		fprintf(view->out, "# %s\n# python3 %s.py\n", title, name);
	fputs(lab_code(experiment, code), view->out);
}
