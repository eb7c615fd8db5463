/* One call of the crowd: what is asked for, and what must come of it. All of it follows from the
 * session's random numbers, so that a seed names a plan.
 *
 * Output and input are lines of seven digits and a newline that count upwards (as seq prints them):
 * each byte is known from its offset, and none can be lost, doubled or moved unseen. */
#ifndef STRESS_ORDER_H
#define STRESS_ORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "waybill/client.h"

enum { LINE_BYTES = 8, FIRST_LINE = 1000000, LINES_MAX = 4000000, ARGUMENTS_MAX = 7 };

enum order_kind {
	ORDER_TRUE,
	ORDER_EXIT,
	ORDER_CAT,
	ORDER_PRINT,
	ORDER_BOTH, /* outputs at once */
	ORDER_NOTE, /* a line in the ledger: shows a second run */
	ORDER_UNREAD,
	ORDER_HEAD, /* we close its stdout */
	ORDER_CANCEL,
	ORDER_CANCEL_BUSY, /* in the midst of its output */
	ORDER_SIGNAL,
	ORDER_SUICIDE,
	ORDER_TIMEOUT,
	ORDER_ABANDON,
	ORDER_NOWHERE,
	ORDER_FORBIDDEN,
	ORDER_WINDOW,                 /* on a terminal */
	ORDER_KEYED,                  /* the same request as another's, which runs once for both */
	ORDER_LEAVE,                  /* detached, and left to another session while it runs */
	ORDER_ROLLED,                 /* those above are drawn by lot */
	ORDER_COLLECT = ORDER_ROLLED, /* what another session has left */
	ORDER_KINDS,
};

static const char *const order_names[ORDER_KINDS] = {
	"true",    "exit",      "cat",         "print",  "both",    "note",    "unread",
	"head",    "cancel",    "cancel-busy", "signal", "suicide", "timeout", "abandon",
	"nowhere", "forbidden", "window",      "keyed",  "leave",   "collect"};

enum order_act { ACT_NONE, ACT_CANCEL, ACT_SIGNAL, ACT_ABANDON, ACT_LEAVE };

struct order_output {
	uint32_t first; /* line */
	uint64_t bytes, got;
	uint64_t close_at; /* we want no more than so much */
	bool any_length;   /* it is stopped somewhere */
	bool wrong;
};

struct order {
	enum order_kind kind;
	uint32_t number; /* within its place; never used again */
	const char *argv[ARGUMENTS_MAX];
	char text[3][64], key[32];
	struct wb_exec exec;
	enum wb_outcome outcome;
	uint32_t code;
	const char *signal;
	struct order_output outputs[3];
	char literal[32]; /* stdout, where it is not lines */
	uint32_t input_first;
	uint64_t input_bytes, input_given;
	bool slow;       /* takes output a little at a time */
	bool holds_back; /* takes none of it, and says nothing */
	enum order_act act;
	bool act_when_opened;
	uint32_t act_after_ms;
};

/* ---- random numbers ---- */

struct dice {
	uint64_t state;
};

static inline uint64_t dice_next(struct dice *dice)
{
	uint64_t z = (dice->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 … below-1 */
static inline uint32_t dice_roll(struct dice *dice, uint32_t below)
{
	return (uint32_t)(dice_next(dice) % below);
}

/* ---- lines ---- */

static inline void lines_fill(uint32_t first, uint64_t offset, char *out, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++, offset++) {
		uint32_t line = first + (uint32_t)(offset / LINE_BYTES);
		uint32_t place = (uint32_t)(offset % LINE_BYTES);

		if (place == LINE_BYTES - 1) {
			out[i] = '\n';
			continue;
		}
		for (uint32_t left = LINE_BYTES - 2 - place; left > 0; left--)
			line /= 10;
		out[i] = (char)('0' + line % 10);
	}
}

static inline bool lines_match(uint32_t first, uint64_t offset, const char *data, size_t bytes)
{
	char expected[4096];

	while (bytes > 0) {
		size_t piece = bytes < sizeof(expected) ? bytes : sizeof(expected);

		lines_fill(first, offset, expected, piece);
		if (memcmp(expected, data, piece) != 0)
			return false;
		offset += piece;
		data += piece;
		bytes -= piece;
	}
	return true;
}

/* ---- making ---- */

/* Mostly small, at times large. */
static inline uint32_t roll_lines(struct dice *dice)
{
	static const uint32_t most[] = {1, 500, 500, 500, 500, 8192, 8192, 131072};

	return dice_roll(dice, most[dice_roll(dice, 8)]);
}

static inline uint32_t roll_first(struct dice *dice)
{
	return FIRST_LINE + dice_roll(dice, LINES_MAX);
}

static inline void set_argv(struct order *order, const char *const *words)
{
	for (int i = 0; i + 1 < ARGUMENTS_MAX && words[i]; i++)
		order->argv[i] = words[i];
}

#define ORDER_ARGV(order, ...) set_argv((order), (const char *const[]){__VA_ARGS__, NULL})

static inline void expect_lines(struct order *order, unsigned stream, uint32_t first,
				uint32_t lines)
{
	order->outputs[stream].first = first;
	order->outputs[stream].bytes = (uint64_t)lines * LINE_BYTES;
}

static inline void make_forever(struct order *order)
{
	ORDER_ARGV(order, "tail", "-f", "/dev/null");
}

/* At once, when it runs, or some time later. */
static inline void make_act(struct order *order, struct dice *dice, enum order_act act)
{
	uint32_t when = dice_roll(dice, 3);

	order->act = act;
	order->act_when_opened = when == 1;
	order->act_after_ms = when == 2 ? dice_roll(dice, 1000) : 0;
}

static inline void make_cat(struct order *order, struct dice *dice)
{
	order->input_first = roll_first(dice);
	order->input_bytes = (uint64_t)roll_lines(dice) * LINE_BYTES + dice_roll(dice, LINE_BYTES);
	order->outputs[WB_STDOUT].first = order->input_first;
	order->outputs[WB_STDOUT].bytes = order->input_bytes;
	ORDER_ARGV(order, "cat");
}

static inline void make_print(struct order *order, struct dice *dice)
{
	uint32_t first = roll_first(dice), lines = roll_lines(dice) + 1;

	expect_lines(order, WB_STDOUT, first, lines);
	snprintf(order->text[0], sizeof(order->text[0]), "%u", first);
	snprintf(order->text[1], sizeof(order->text[1]), "%u", first + lines - 1);
	ORDER_ARGV(order, "seq", order->text[0], order->text[1]);
}

static inline void make_both(struct order *order, struct dice *dice)
{
	uint32_t lines = roll_lines(dice) + 1;

	make_print(order, dice);
	expect_lines(order, WB_STDERR, FIRST_LINE, lines);
	snprintf(order->text[2], sizeof(order->text[2]), "%u", FIRST_LINE + lines - 1);
	order->code = 3;
	ORDER_ARGV(order, "sh", "-c", "seq $0 $1 & seq 1000000 $2 >&2; wait; exit 3",
		   order->text[0], order->text[1], order->text[2]);
}

/* More than can be meant: somebody stops it. */
static inline void make_endless(struct order *order)
{
	expect_lines(order, WB_STDOUT, FIRST_LINE, 2 * LINES_MAX);
	order->outputs[WB_STDOUT].any_length = true;
	ORDER_ARGV(order, "seq", "1000000", "8999999");
}

static inline void make_head(struct order *order, struct dice *dice)
{
	make_endless(order);
	order->outputs[WB_STDOUT].close_at = 1 + dice_roll(dice, 300000);
	order->outcome = WB_OUTCOME_SIGNALED;
	order->signal = "PIPE";
}

static inline void make_signal(struct order *order, struct dice *dice, bool by_itself)
{
	static const char *const names[] = {"TERM", "INT", "HUP", "KILL", "USR1"};

	order->outcome = WB_OUTCOME_SIGNALED;
	order->signal = names[dice_roll(dice, 5)];
	if (by_itself) {
		ORDER_ARGV(order, "sh", "-c", "kill -$0 $$", order->signal);
		return;
	}
	make_forever(order);
	make_act(order, dice, ACT_SIGNAL);
}

static inline void make_window(struct order *order, struct dice *dice)
{
	order->exec.pty = true;
	order->exec.rows = (uint16_t)(1 + dice_roll(dice, 500));
	order->exec.cols = (uint16_t)(1 + dice_roll(dice, 500));
	snprintf(order->literal, sizeof(order->literal), "%u %u\r\n", order->exec.rows,
		 order->exec.cols);
	order->outputs[WB_STDOUT].bytes = strlen(order->literal);
	ORDER_ARGV(order, "stty", "size");
}

/* name, ledger: for ORDER_NOTE; borrowed for the order's life. */
static inline void make_note(struct order *order, unsigned place, const char *ledger)
{
	snprintf(order->text[0], sizeof(order->text[0]), "%u %u", place, order->number);
	ORDER_ARGV(order, "sh", "-c", "echo $0 >>\"$1\"", order->text[0], ledger);
}

/* One key for every so many numbers of a place: who comes first runs it. */
enum { KEYED_TOGETHER = 64 };

static inline uint32_t order_key(const struct order *order)
{
	return order->number - order->number % KEYED_TOGETHER;
}

static inline void make_keyed(struct order *order, unsigned place, const char *ledger)
{
	snprintf(order->key, sizeof(order->key), "%u/%u", place, order_key(order));
	snprintf(order->text[0], sizeof(order->text[0]), "%u %u", place, order_key(order));
	order->exec.key = order->key;
	ORDER_ARGV(order, "sh", "-c", "echo $0 >>\"$1\"", order->text[0], ledger);
}

static inline void make_exit(struct order *order, struct dice *dice)
{
	order->code = dice_roll(dice, 256);
	snprintf(order->text[0], sizeof(order->text[0]), "exit %u", order->code);
	ORDER_ARGV(order, "sh", "-c", order->text[0]);
}

/* Nothing of its output is taken here, so all of it is there for whoever collects it; and it waits
 * for a word of theirs, since a job that has ended when it is let go of is not kept. */
static inline void make_leave(struct order *order, struct dice *dice)
{
	make_print(order, dice);
	order->code = dice_roll(dice, 256);
	snprintf(order->text[2], sizeof(order->text[2]), "%u", order->code);
	ORDER_ARGV(order, "sh", "-c", "seq $0 $1; read x; exit $2", order->text[0], order->text[1],
		   order->text[2]);
	order->holds_back = true;
	order->act = ACT_LEAVE;
	order->act_when_opened = true;
}

static inline void make_failure(struct order *order)
{
	bool nowhere = order->kind == ORDER_NOWHERE;

	order->outcome = WB_OUTCOME_FAILED;
	order->code = nowhere ? 127 : 126;
	ORDER_ARGV(order, nowhere ? "/nowhere/at-all" : "/etc/passwd");
}

static inline void make_kind(struct order *order, struct dice *dice, unsigned place,
			     const char *ledger)
{
	switch (order->kind) {
	case ORDER_TRUE:
		ORDER_ARGV(order, "true");
		break;
	case ORDER_EXIT:
		make_exit(order, dice);
		break;
	case ORDER_CAT:
		make_cat(order, dice);
		break;
	case ORDER_PRINT:
		make_print(order, dice);
		break;
	case ORDER_BOTH:
		make_both(order, dice);
		break;
	case ORDER_NOTE:
		make_note(order, place, ledger);
		break;
	case ORDER_UNREAD:
		order->input_first = FIRST_LINE;
		order->input_bytes = (uint64_t)roll_lines(dice) * LINE_BYTES;
		ORDER_ARGV(order, "true");
		break;
	case ORDER_HEAD:
		make_head(order, dice);
		break;
	case ORDER_CANCEL:
		make_forever(order);
		make_act(order, dice, ACT_CANCEL);
		order->outcome = WB_OUTCOME_CANCELLED;
		break;
	case ORDER_CANCEL_BUSY:
		order->slow = true; /* so that it is not done before */
		make_endless(order);
		make_act(order, dice, ACT_CANCEL);
		order->outcome = WB_OUTCOME_CANCELLED;
		break;
	case ORDER_SIGNAL:
	case ORDER_SUICIDE:
		make_signal(order, dice, order->kind == ORDER_SUICIDE);
		break;
	case ORDER_TIMEOUT:
		make_forever(order);
		order->exec.timeout_ms = 1 + dice_roll(dice, 1000);
		order->outcome = WB_OUTCOME_TIMEOUT;
		break;
	case ORDER_ABANDON:
		make_forever(order);
		make_act(order, dice, ACT_ABANDON);
		break;
	case ORDER_NOWHERE:
	case ORDER_FORBIDDEN:
		make_failure(order);
		break;
	case ORDER_KEYED:
		make_keyed(order, place, ledger);
		break;
	case ORDER_LEAVE:
		make_leave(order, dice);
		break;
	default:
		make_window(order, dice);
		break;
	}
}

/* What a lost connection means to the calls of a session. */
enum manner {
	MANNER_PATIENT, /* held or detached: the session stays until they have ended */
	MANNER_HASTY,   /* held: the session may leave while they run */
	MANNER_FRAIL,   /* they die with it */
};

static inline enum wb_on_disconnect roll_policy(const struct order *order, struct dice *dice,
						enum manner manner)
{
	static const enum wb_on_disconnect policies[] = {WB_DISCONNECT_DEFAULT, WB_DISCONNECT_HOLD,
							 WB_DISCONNECT_DETACH};

	if (order->kind == ORDER_LEAVE)
		return WB_DISCONNECT_DETACH;
	if (manner == MANNER_FRAIL)
		return WB_DISCONNECT_KILL;
	/* What is abandoned should not stay. */
	return policies[dice_roll(dice, manner == MANNER_PATIENT && !order->act ? 3 : 2)];
}

/* may_leave: somebody collects. */
static inline void order_make(struct order *order, uint32_t number, struct dice *dice,
			      enum manner manner, bool may_leave, unsigned place,
			      const char *ledger)
{
	*order = (struct order){
		.kind = (enum order_kind)dice_roll(dice, ORDER_ROLLED),
		.number = number,
		.outcome = WB_OUTCOME_EXITED,
		.slow = dice_roll(dice, 8) == 0,
	};
	/* The ledger knows a key by the first number that it stands for. */
	if (order->kind == ORDER_NOTE && number == order_key(order))
		order->kind = ORDER_KEYED;
	if (order->kind == ORDER_LEAVE && !may_leave)
		order->kind = ORDER_PRINT;
	make_kind(order, dice, place, ledger);
	order->exec.argv = order->argv;
	order->exec.no_input = order->input_bytes == 0 && !order->holds_back && dice_roll(dice, 2);
	order->exec.hold_ms = 60000;
	order->exec.on_disconnect = roll_policy(order, dice, manner);
	order->exec.cwd = "/";
}

/* ---- checking ---- */

/* Output as it comes. */
static inline void order_see(struct order *order, unsigned stream, const char *data, size_t bytes)
{
	struct order_output *output = &order->outputs[stream];
	bool fits = output->got + bytes <= output->bytes;

	if (!fits)
		output->wrong = true;
	else if (stream == WB_STDOUT && order->literal[0])
		output->wrong |= memcmp(order->literal + output->got, data, bytes) != 0;
	else
		output->wrong |= !lines_match(output->first, output->got, data, bytes);
	output->got += bytes;
}

/* What is wrong with how it ended, or NULL. */
static inline const char *order_check(const struct order *order, const struct wb_result *result)
{
	if (result->outcome != order->outcome)
		return "the outcome";
	if (result->outcome == WB_OUTCOME_EXITED && (!result->has_code || !result->complete))
		return "an incomplete end";
	if (result->has_code && result->code != order->code)
		return "the code";
	if (result->held_open) /* none leaves anything behind that could */
		return "an output that is held open";
	if (order->signal && strcmp(result->signal, order->signal) != 0)
		return "the signal";
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		if (order->outputs[i].wrong)
			return "the output's bytes";
		else if (!order->outputs[i].any_length &&
			 order->outputs[i].got != order->outputs[i].bytes)
			return "the output's length";
	return NULL;
}

#endif
