/* One session of the crowd. Each belongs to one thread. */
#ifndef STRESS_PLACE_H
#define STRESS_PLACE_H

#include "visit.h"

/* ---- the session ---- */

/* Perhaps another daemon than the one that knew of our keys: what is asked for anew runs anew. */
static inline void renew_keys(struct place *place)
{
	for (unsigned i = 0; i < place->options->visits; i++)
		if (place->visits[i].call && place->visits[i].order.kind == ORDER_KEYED)
			promise(place, order_key(&place->visits[i].order), PROMISED_WHATEVER);
	place->numbers += KEYED_TOGETHER - place->numbers % KEYED_TOGETHER;
	place->leave_at += KEYED_TOGETHER;
}

/* Another daemon, which knows nothing of us. What ran with the last one is lost, and says so. */
static inline void notice_crash(struct place *place)
{
	unsigned crashes = atomic_load(place->options->crashes);

	if (crashes == place->crashes) {
		fprintf(stderr, "crowd: place %u: the daemon has forgotten a session\n",
			place->index);
		place->tally->wrong++;
	}
	place->crashes = crashes;
	place->daemons++;
	place->tally->crashed++;
	for (unsigned i = 0; i < place->options->visits; i++) {
		struct visit *visit = &place->visits[i];

		visit->doomed = visit->call && wb_call_job(visit->call) != 0 &&
				!wb_call_result(visit->call);
	}
}

static inline void on_connected(struct wb_client *client, bool resumed, void *context)
{
	struct place *place = context;

	(void)client;
	if (!resumed && place->greeted)
		notice_crash(place);
	if (!resumed && place->options->crash)
		renew_keys(place);
	place->greeted = true;
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
	if (place->leaving || came_in_vain(place))
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

static inline void roll_next_stop(struct place *place)
{
	unsigned mean_ms = place->options->cut_ms;

	place->next_stop_ms =
		mean_ms ? now_ms() + 1 + dice_roll(&place->cut_dice, 4 * mean_ms) : UINT64_MAX;
}

/* Stops as by ^Z, or goes on; how long it was flushed before is nobody's business. */
static inline void place_stop(struct place *place)
{
	place->stopped = !place->stopped;
	if (place->stopped)
		wb_client_suspend(place->client);
	else
		wb_client_continue(place->client);
	place->tally->stopped += place->stopped;
	roll_next_stop(place);
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

	place->manner = place->collects ? MANNER_PATIENT : manners[dice_roll(&place->dice, 8)];
	place->greeted = false;
	place->crashes = atomic_load(place->options->crashes);
	place->leave_at = place->numbers + 10 + dice_roll(&place->dice, 400);
	place->leaving = place->stopped = false;
	roll_next_cut(place);
	roll_next_stop(place);
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
	if (place->collects || visit->call || stopping || place->leaving ||
	    place->numbers >= place->leave_at)
		return;
	begin_visit(place, visit);
}

/* Also when nothing new begins: what was left is not to stay. */
static inline void step_collector(struct place *place, uint64_t now)
{
	if (place->collects && !place->leaving && place->leftovers->count > 0 &&
	    !place->visits[0].call && place->next_collect_ms <= now)
		begin_collecting(place, &place->visits[0]);
}

static inline bool may_leave(const struct place *place, bool stopping)
{
	if (place->leaving || place->stopped)
		return false;
	if (!stopping)
		return place->numbers >= place->leave_at;
	return place_busy(place) == 0 && !(place->collects && place->leftovers->count > 0);
}

/* What is due of us. Returns whether there is anything to go on for. */
static inline bool place_step(struct place *place, uint64_t now, bool stopping)
{
	if (!place->client && (stopping || !place_enter(place)))
		return false;
	if (place->next_cut_ms <= now)
		place_cut(place);
	if (place->stopped ? stopping || place->next_stop_ms <= now
			   : !stopping && !place->leaving && place->next_stop_ms <= now)
		place_stop(place);
	for (unsigned i = 0; i < place->options->visits; i++)
		step_visit(place, &place->visits[i], now, stopping);
	step_collector(place, now);
	if (may_leave(place, stopping))
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
	uint64_t deadline =
		place->next_cut_ms < place->next_stop_ms ? place->next_cut_ms : place->next_stop_ms;
	int timeout_ms = wb_client_timeout_ms(place->client);

	if (place->collects && place->leftovers->count > 0 && !place->visits[0].call &&
	    place->next_collect_ms < deadline)
		deadline = place->next_collect_ms;
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
