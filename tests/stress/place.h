/* One session of the crowd and the calls that it has in flight. Each belongs to one thread. */
#ifndef STRESS_PLACE_H
#define STRESS_PLACE_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cut.h"
#include "order.h"

enum { VISITS_MAX = 32, SILENCE_MS = 5000, PULL_MS = 5, SLOW_BYTES = 8192 };

struct crowd_options {
	uint64_t seed, seconds;
	unsigned places, visits, threads;
	unsigned cut_ms; /* mean time between two cuts of a session; 0: none */
	bool may_refuse; /* the daemon may have fewer places than we ask for */
	bool vanish;     /* sessions may be dropped without a word */
	const char *uris[2];
	const char *ledger; /* NULL: none */
};

enum promise { PROMISED_NOTHING, PROMISED_ONCE, PROMISED_AT_MOST_ONCE };

struct tally {
	uint64_t calls, outcomes[WB_OUTCOME_LOST + 1], abandoned, bytes, cuts[CUT_KINDS];
	uint64_t sessions, resumed, wrong;
};

struct place;

struct visit {
	struct order order;
	struct wb_call *call; /* NULL: free */
	struct place *place;
	uint64_t act_ms;  /* UINT64_MAX: not by time */
	unsigned losses;  /* of the place, when it began */
	uint64_t pull_ms; /* output is wanted again then; UINT64_MAX: at any time */
};

struct place {
	const struct crowd_options *options;
	struct graveyard *yard;
	struct tally *tally;
	unsigned index;
	struct dice dice, cut_dice;
	struct wb_client *client;
	struct visit visits[VISITS_MAX];
	uint32_t numbers;  /* orders made so far */
	uint32_t leave_at; /* the session ends at this one */
	unsigned losses;   /* of connections */
	uint64_t next_cut_ms;
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

/* ---- what comes of a call ---- */

/* What else may come of it, as things went. */
static inline bool is_excused(const struct visit *visit, const struct wb_result *result)
{
	const struct place *place = visit->place;
	bool was_cut = visit->losses != place->losses;

	if (place->leaving && result->outcome == WB_OUTCOME_LOST)
		return true;
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

static inline void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct visit *visit = context;
	const char *what = order_check(&visit->order, result);
	bool excused = what && is_excused(visit, result);

	if (visit->order.kind == ORDER_NOTE)
		promise(visit->place, visit->order.number,
			excused ? PROMISED_AT_MOST_ONCE : PROMISED_ONCE);
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

static inline void act(struct visit *visit)
{
	visit->act_ms = UINT64_MAX;
	if (visit->order.act == ACT_CANCEL) {
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

static inline void begin_visit(struct place *place, struct visit *visit)
{
	struct order *order = &visit->order;
	struct wb_fault fault;

	order_make(order, place->numbers++, &place->dice, place->manner, place->index,
		   place->options->ledger);
	visit->place = place;
	visit->losses = place->losses;
	visit->pull_ms = UINT64_MAX;
	visit->act_ms =
		order->act && !order->act_when_opened ? now_ms() + order->act_after_ms : UINT64_MAX;
	if (order->kind == ORDER_NOTE)
		promise(place, order->number, PROMISED_AT_MOST_ONCE);
	if (wb_client_exec(place->client, &order->exec, &visit_callbacks, visit, &visit->call,
			   &fault) != WB_OK) {
		fprintf(stderr, "crowd: place %u: %s\n", place->index, fault.text);
		place->tally->wrong++;
		visit->call = NULL;
		return;
	}
	if (!order->exec.no_input)
		give_input(visit);
	if (order->act && !order->act_when_opened && order->act_after_ms == 0)
		act(visit);
}

/* ---- the session ---- */

static inline void on_connected(struct wb_client *client, bool resumed, void *context)
{
	struct place *place = context;

	(void)client;
	place->broken = false;
	place->tally->resumed += resumed;
}

static inline void on_disconnected(struct wb_client *client, const struct wb_fault *why,
				   uint64_t retry_ms, void *context)
{
	struct place *place = context;

	(void)client;
	(void)why;
	(void)retry_ms;
	place->losses++;
}

static inline void on_closed(struct wb_client *client, const struct wb_fault *why, void *context)
{
	struct place *place = context;

	(void)client;
	if (place->leaving)
		return;
	fprintf(stderr, "crowd: place %u: a session ended by itself: %s\n", place->index,
		why->text);
	place->tally->wrong++;
}

static const struct wb_client_callbacks place_callbacks = {on_connected, on_disconnected,
							   on_closed};

static inline void roll_next_cut(struct place *place)
{
	unsigned mean_ms = place->options->cut_ms;

	place->next_cut_ms =
		mean_ms ? now_ms() + 1 + dice_roll(&place->cut_dice, 2 * mean_ms) : UINT64_MAX;
}

static inline bool place_enter(struct place *place)
{
	static const enum manner manners[8] = {MANNER_FRAIL, MANNER_HASTY, MANNER_HASTY};
	const struct wb_client_options options = {
		.uri = place->options->uris[place->index % 2],
		.agent = "crowd",
		.retry_ms = WB_RETRY_AS_HELD,
		.silence_ms = SILENCE_MS,
		.callbacks = &place_callbacks,
		.context = place,
	};
	struct wb_fault fault;

	place->manner = manners[dice_roll(&place->dice, 8)];
	place->leave_at = place->numbers + 10 + dice_roll(&place->dice, 400);
	place->leaving = false;
	roll_next_cut(place);
	place->tally->sessions++;
	if (wb_client_new(&options, &place->client, &fault) == WB_OK)
		return true;
	fprintf(stderr, "crowd: place %u: %s\n", place->index, fault.text);
	place->tally->wrong++;
	return false;
}

static inline void place_cut(struct place *place)
{
	enum cut_kind kind = (enum cut_kind)dice_roll(&place->cut_dice, CUT_KINDS);
	int fd = wb_client_fd(place->client);

	roll_next_cut(place);
	if (fd < 0 || wb_client_events(place->client) == POLLOUT || place->leaving)
		return; /* it is dialling: that is no connection yet; or has said goodbye */
	cut(fd, kind, place->yard);
	place->broken = true;
	place->losses++; /* a frail call may die before we hear of it */
	place->tally->cuts[kind]++;
}

static inline unsigned place_busy(const struct place *place)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < place->options->visits; i++)
		busy += place->visits[i].call != NULL;
	return busy;
}

/* Goes without a word, as if killed. Only calls that die with the connection are left so. */
static inline void place_vanish(struct place *place)
{
	for (unsigned i = 0; i < place->options->visits; i++)
		place->visits[i].call = NULL;
	wb_client_free(place->client);
	place->client = NULL;
}

/* Goodbye is for those who are heard: a daemon that is not told holds a session for a minute. */
static inline void place_leave(struct place *place)
{
	if (place->manner == MANNER_PATIENT && place_busy(place) > 0)
		return;
	if (place->manner == MANNER_FRAIL && place->options->vanish) {
		place_vanish(place);
	} else if (wb_client_is_connected(place->client) && !place->broken) {
		place->leaving = true;
		wb_client_close(place->client);
	}
}

static inline void step_visit(struct place *place, struct visit *visit, uint64_t now, bool stopping)
{
	if (visit->call && visit->act_ms <= now)
		act(visit);
	if (visit->call && visit->pull_ms <= now) {
		visit->pull_ms = UINT64_MAX;
		wb_call_pull(visit->call, WB_STDOUT);
		wb_call_pull(visit->call, WB_STDERR);
	}
	if (!visit->call && !stopping && !place->leaving && place->numbers < place->leave_at)
		begin_visit(place, visit);
}

/* What is due of us. Returns whether there is anything to go on for. */
static inline bool place_step(struct place *place, uint64_t now, bool stopping)
{
	if (!place->client && (stopping || !place_enter(place)))
		return false;
	if (place->next_cut_ms <= now)
		place_cut(place);
	for (unsigned i = 0; i < place->options->visits; i++)
		step_visit(place, &place->visits[i], now, stopping);
	if (!place->leaving &&
	    (stopping ? place_busy(place) == 0 : place->numbers >= place->leave_at))
		place_leave(place);
	return true;
}

static inline void place_process(struct place *place, short ready)
{
	if (!place->client)
		return;
	wb_client_process(place->client, ready);
	if (!wb_client_is_closed(place->client))
		return;
	if (place_busy(place) > 0) {
		fprintf(stderr, "crowd: place %u: closed, with calls that have not ended\n",
			place->index);
		place->tally->wrong++;
		for (unsigned i = 0; i < place->options->visits; i++)
			place->visits[i].call = NULL;
	}
	wb_client_free(place->client);
	place->client = NULL;
}

/* When something is to be done without an event. */
static inline uint64_t place_deadline_ms(const struct place *place, uint64_t now)
{
	uint64_t deadline = place->next_cut_ms;
	int timeout_ms = wb_client_timeout_ms(place->client);

	if (timeout_ms >= 0 && now + (unsigned)timeout_ms < deadline)
		deadline = now + (unsigned)timeout_ms;
	for (unsigned i = 0; i < place->options->visits; i++) {
		const struct visit *visit = &place->visits[i];
		if (visit->call && visit->act_ms < deadline)
			deadline = visit->act_ms;
		if (visit->call && visit->pull_ms < deadline)
			deadline = visit->pull_ms;
	}
	return deadline;
}

static inline void place_tell_stuck(const struct place *place)
{
	for (unsigned i = 0; i < place->options->visits; i++) {
		const struct visit *visit = &place->visits[i];
		if (visit->call)
			fprintf(stderr,
				"crowd: place %u order %u (%s) has not ended: job %llu, "
				"%llu+%llu bytes of %llu+%llu, %llu given; %s\n",
				place->index, visit->order.number, order_names[visit->order.kind],
				(unsigned long long)wb_call_job(visit->call),
				(unsigned long long)visit->order.outputs[1].got,
				(unsigned long long)visit->order.outputs[2].got,
				(unsigned long long)visit->order.outputs[1].bytes,
				(unsigned long long)visit->order.outputs[2].bytes,
				(unsigned long long)visit->order.input_given,
				wb_client_is_connected(place->client) ? "connected" : "lost");
	}
}

#endif
