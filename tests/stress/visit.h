/* The calls that a session of the crowd has in flight: how they begin, what is done to them, and
 * what may come of them. */
#ifndef STRESS_VISIT_H
#define STRESS_VISIT_H

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cut.h"
#include "order.h"

enum { VISITS_MAX = 32, SILENCE_MS = 5000, PULL_MS = 5, SLOW_BYTES = 8192 };

/* The daemon keeps 64 ended jobs a worker for whoever collects them, and drops the oldest. */
enum { LEFT_MOST = 12, LEFT_ROOM = 64, COLLECT_MS = 20 };

struct crowd_options {
	uint64_t seed, seconds;
	unsigned places, visits, threads;
	unsigned cut_ms; /* mean time between two cuts of a session; 0: none */
	bool may_refuse; /* the daemon may have fewer places than we ask for */
	bool vanish;     /* sessions may be dropped without a word */
	bool crash;      /* the daemon may die and come back, as `crashes` tells beforehand */
	atomic_uint *crashes;
	uint64_t stop_ms; /* nothing new from then on */
	const char *uris[2];
	const char *ledger; /* NULL: none */
};

enum promise { PROMISED_NOTHING, PROMISED_ONCE, PROMISED_AT_MOST_ONCE, PROMISED_WHATEVER };

struct tally {
	uint64_t calls, outcomes[WB_OUTCOME_LOST + 1], abandoned, bytes, cuts[CUT_KINDS];
	uint64_t sessions, resumed, stopped, left, collected, crashed, afterwards, wrong;
};

/* Jobs that were left to whoever comes, and what is to come of them. */
struct leftovers {
	struct {
		uint64_t job;
		struct order order;
	} jobs[LEFT_ROOM];
	unsigned count;
};

struct place;

struct visit {
	struct order order;
	struct wb_call *call; /* NULL: free */
	struct place *place;
	uint64_t act_ms;  /* UINT64_MAX: not by time */
	unsigned losses;  /* of the place, when it began */
	unsigned daemons; /* likewise */
	uint64_t job;     /* that it collects */
	bool doomed;      /* its daemon is dead, and nobody can know any more how it ended */
	uint64_t pull_ms; /* output is wanted again then; UINT64_MAX: at any time */
};

struct place {
	const struct crowd_options *options;
	struct graveyard *yard;
	struct tally *tally;
	struct leftovers *leftovers;
	unsigned index;
	bool collects; /* has one call at a time: what others have left */
	struct dice dice, cut_dice;
	struct wb_client *client;
	struct visit visits[VISITS_MAX];
	uint32_t numbers;  /* orders made so far */
	uint32_t leave_at; /* the session ends at this one */
	unsigned losses;   /* of connections */
	unsigned daemons;  /* that died under it */
	unsigned crashes;  /* that it has noticed */
	bool greeted;      /* the session has been begun */
	uint64_t next_collect_ms;
	uint64_t next_cut_ms;
	uint64_t next_stop_ms; /* as by ^Z, or, where it has stopped, goes on */
	bool stopped;
	enum manner manner;
	bool leaving;
	bool broken;       /* the connection, and nobody has noticed yet */
	uint8_t *promises; /* what the ledger must hold, by number */
	uint32_t promises_room;
};

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void promise(struct place *place, uint32_t number, enum promise what)
{
	if (number >= place->promises_room) {
		uint32_t room = (number + 1) * 2;
		uint8_t *promises = realloc(place->promises, room);

		if (!promises)
			abort();
		memset(promises + place->promises_room, PROMISED_NOTHING,
		       room - place->promises_room);
		place->promises = promises;
		place->promises_room = room;
	}
	place->promises[number] = (uint8_t)what;
}

/* What the ledger must hold of a request that has a key. */
static inline void promise_keyed(struct place *place, const struct order *order, enum promise what)
{
	uint32_t number = order_key(order);

	if (number >= place->promises_room || place->promises[number] == PROMISED_NOTHING ||
	    place->promises[number] == PROMISED_AT_MOST_ONCE)
		promise(place, number, what);
}

/* ---- what comes of a call ---- */

/* Somebody else's call for the same key may have it, have had it, or have taken it. */
static inline bool is_shared(const struct wb_result *result)
{
	return (result->outcome == WB_OUTCOME_REFUSED &&
		(strcmp(result->error, "busy") == 0 || strcmp(result->error, "done") == 0)) ||
	       (result->outcome == WB_OUTCOME_FAILED && strcmp(result->error, "taken") == 0) ||
	       result->outcome == WB_OUTCOME_CANCELLED;
}

/* Its daemon died; perhaps the place has not heard of that yet. */
static inline bool has_crashed(const struct visit *visit)
{
	const struct place *place = visit->place;

	return visit->daemons != place->daemons ||
	       place->crashes != atomic_load(place->options->crashes);
}

/* Who comes for the first time while the daemon is dead is told that nobody is there. */
static inline bool came_in_vain(const struct place *place)
{
	return place->options->crash && !place->greeted;
}

/* What else may come of it, as things went. */
static inline bool is_excused(const struct visit *visit, const struct wb_result *result)
{
	const struct place *place = visit->place;
	bool was_cut = visit->losses != place->losses;

	if (result->outcome == WB_OUTCOME_LOST && (place->leaving || has_crashed(visit)))
		return true;
	if (visit->order.kind == ORDER_KEYED && is_shared(result))
		return true;
	if (came_in_vain(place) && result->outcome == WB_OUTCOME_FAILED)
		return strcmp(result->error, "connect") == 0;
	if (place->leaving && result->outcome == WB_OUTCOME_FAILED)
		return strcmp(result->error, "closed") == 0; /* it was never sent */
	if (place->options->may_refuse && result->outcome == WB_OUTCOME_REFUSED)
		return strcmp(result->error, "limit") == 0;
	if (place->manner == MANNER_FRAIL && was_cut && result->outcome == WB_OUTCOME_CANCELLED)
		return true;
	/* Nobody was there to stop it, and the daemon kept all of its output. */
	return visit->order.outputs[WB_STDOUT].any_length && was_cut &&
	       result->outcome == WB_OUTCOME_EXITED && result->code == 0 && result->complete;
}

static inline void complain(const struct visit *visit, const char *what,
			    const struct wb_result *result)
{
	const struct order *order = &visit->order;

	visit->place->tally->wrong++;
	fprintf(stderr,
		"crowd: place %u order %u (%s): %s: wanted %s code %u %s, %llu+%llu bytes; "
		"got %s code %u %s (%s: %s)%s missing '%s', %llu+%llu bytes; %u losses%s%s\n",
		visit->place->index, order->number, order_names[order->kind], what,
		wb_outcome_name(order->outcome), order->code, order->signal ? order->signal : "",
		(unsigned long long)order->outputs[1].bytes,
		(unsigned long long)order->outputs[2].bytes, wb_outcome_name(result->outcome),
		result->code, result->signal, result->error, result->text,
		result->complete ? "" : " incomplete,", result->missing,
		(unsigned long long)order->outputs[1].got,
		(unsigned long long)order->outputs[2].got, visit->place->losses - visit->losses,
		visit->order.slow ? ", slow" : "",
		visit->place->manner == MANNER_FRAIL ? ", frail" : "");
}

static inline void put_back(struct place *place, uint64_t job, const struct order *order)
{
	struct leftovers *leftovers = place->leftovers;

	if (leftovers->count == LEFT_ROOM)
		abort();
	leftovers->jobs[leftovers->count].job = job;
	leftovers->jobs[leftovers->count++].order = *order;
}

/* Whoever left it may not have been heard yet, and so may our last call's end: later, then. */
static inline bool is_too_early(struct visit *visit, const struct wb_result *result)
{
	struct place *place = visit->place;

	if (visit->order.kind != ORDER_COLLECT)
		return false;
	if (result->outcome != WB_OUTCOME_REFUSED || strcmp(result->error, "busy") != 0) {
		place->tally->collected++;
		return false;
	}
	place->next_collect_ms = now_ms() + COLLECT_MS;
	put_back(place, visit->job, &visit->order);
	return true;
}

static inline void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct visit *visit = context;
	const char *what = is_too_early(visit, result) ? NULL : order_check(&visit->order, result);
	bool excused = what && is_excused(visit, result);

	if (visit->doomed && result->outcome != WB_OUTCOME_LOST)
		complain(visit, "what nobody can know", result);
	visit->place->tally->afterwards += visit->daemons > 0 && !what;

	if (visit->order.kind == ORDER_NOTE)
		promise(visit->place, visit->order.number,
			excused ? PROMISED_AT_MOST_ONCE : PROMISED_ONCE);
	if (visit->order.kind == ORDER_KEYED &&
	    (!what ||
	     (result->outcome == WB_OUTCOME_REFUSED && strcmp(result->error, "done") == 0 &&
	      strstr(result->text, "exited with code 0"))))
		promise_keyed(visit->place, &visit->order, PROMISED_ONCE);
	if (what && !excused)
		complain(visit, what, result);
	visit->place->tally->calls++;
	visit->place->tally->outcomes[result->outcome]++;
	wb_call_free(call);
	visit->call = NULL;
}

static inline size_t on_output(struct wb_call *call, unsigned stream, const void *data,
			       size_t bytes, void *context)
{
	struct visit *visit = context;
	struct order_output *output = &visit->order.outputs[stream];
	size_t taken = bytes;

	if (visit->order.holds_back)
		return 0;
	if (visit->order.slow) {
		size_t most = 1 + dice_roll(&visit->place->cut_dice, SLOW_BYTES);
		taken = most < bytes ? most : bytes;
		visit->pull_ms = now_ms() + PULL_MS;
	}
	order_see(&visit->order, stream, data, taken);
	visit->place->tally->bytes += taken;
	if (output->close_at && output->got >= output->close_at)
		wb_call_close_output(call, stream);
	return taken;
}

static inline void give_input(struct visit *visit)
{
	struct order *order = &visit->order;
	char data[16384];
	size_t taken = 1;

	while (order->input_given < order->input_bytes && taken > 0) {
		uint64_t left = order->input_bytes - order->input_given;
		size_t piece = left < sizeof(data) ? (size_t)left : sizeof(data);

		lines_fill(order->input_first, order->input_given, data, piece);
		if (wb_call_write(visit->call, data, piece, &taken) != WB_OK)
			return; /* closed, which the outcome may or may not forgive */
		order->input_given += taken;
	}
	if (order->input_given == order->input_bytes)
		wb_call_end_input(visit->call);
}

static inline void on_input(struct wb_call *call, void *context)
{
	(void)call;
	give_input(context);
}

/* Without a word but `forget`. Where enough is left already, or nobody will come any more, it
 * stays. */
static inline void leave_job(struct visit *visit)
{
	struct place *place = visit->place;

	visit->order.holds_back = false;
	if (place->leftovers->count >= LEFT_MOST || now_ms() >= place->options->stop_ms) {
		visit->pull_ms = now_ms();
		give_input(visit);
		return;
	}
	put_back(place, wb_call_job(visit->call), &visit->order);
	wb_call_free(visit->call);
	visit->call = NULL;
	place->tally->left++;
}

static inline void act(struct visit *visit)
{
	visit->act_ms = UINT64_MAX;
	if (visit->order.act == ACT_LEAVE) {
		leave_job(visit);
	} else if (visit->order.act == ACT_CANCEL) {
		wb_call_cancel(visit->call);
		visit->order.slow = false; /* the daemon may have all of its output by now */
	} else if (visit->order.act == ACT_ABANDON) {
		wb_call_free(visit->call);
		visit->call = NULL;
		visit->place->tally->abandoned++;
	} else if (wb_call_signal(visit->call, visit->order.signal) != WB_OK) {
		fprintf(stderr, "crowd: a signal was not taken\n");
		visit->place->tally->wrong++;
	}
}

static inline void on_opened(struct wb_call *call, void *context)
{
	struct visit *visit = context;

	(void)call;
	if (visit->order.act_when_opened)
		act(visit);
}

static const struct wb_call_callbacks visit_callbacks = {
	.opened = on_opened, .output = on_output, .input = on_input, .ended = on_ended};

static inline void visit_init(struct visit *visit, struct place *place)
{
	visit->place = place;
	visit->losses = place->losses;
	visit->daemons = place->daemons;
	visit->doomed = false;
	visit->pull_ms = visit->act_ms = UINT64_MAX;
}

static inline void cannot_begin(struct visit *visit, const struct wb_fault *fault)
{
	fprintf(stderr, "crowd: place %u: %s\n", visit->place->index, fault->text);
	visit->place->tally->wrong++;
	visit->call = NULL;
}

static inline void begin_collecting(struct place *place, struct visit *visit)
{
	struct leftovers *leftovers = place->leftovers;
	struct wb_fault fault;

	visit_init(visit, place);
	leftovers->count--;
	visit->job = leftovers->jobs[leftovers->count].job;
	visit->order = leftovers->jobs[leftovers->count].order;
	visit->order.kind = ORDER_COLLECT;
	visit->order.number = place->numbers++;
	visit->order.input_first = FIRST_LINE;
	visit->order.input_bytes = LINE_BYTES;
	visit->order.input_given = 0;
	visit->order.act = ACT_NONE;
	visit->order.act_when_opened = false;
	if (wb_client_attach(place->client,
			     &(struct wb_attach){.job = visit->job,
						 .from_start = dice_roll(&place->dice, 2)},
			     &visit_callbacks, visit, &visit->call, &fault) != WB_OK)
		cannot_begin(visit, &fault);
	else
		give_input(visit);
}

static inline void begin_visit(struct place *place, struct visit *visit)
{
	struct order *order = &visit->order;
	struct wb_fault fault;

	order_make(order, place->numbers++, &place->dice, place->manner,
		   place->manner == MANNER_PATIENT && !place->options->crash, place->index,
		   place->options->ledger);
	visit_init(visit, place);
	visit->act_ms =
		order->act && !order->act_when_opened ? now_ms() + order->act_after_ms : UINT64_MAX;
	if (order->kind == ORDER_NOTE)
		promise(place, order->number, PROMISED_AT_MOST_ONCE);
	if (order->kind == ORDER_KEYED)
		promise_keyed(place, order, PROMISED_AT_MOST_ONCE);
	if (wb_client_exec(place->client, &order->exec, &visit_callbacks, visit, &visit->call,
			   &fault) != WB_OK) {
		cannot_begin(visit, &fault);
		return;
	}
	if (!order->exec.no_input && !order->holds_back)
		give_input(visit);
	if (order->act && !order->act_when_opened && order->act_after_ms == 0)
		act(visit);
}

#endif
