/* The simulator: sessions over networks that fail, thousands of them, each from one seed. See
 * world.h. */
#include "faults.h"

#if defined(__SANITIZE_THREAD__)
enum { DEFAULT_SEEDS = 300 }; /* there is one thread */
#elif defined(__SANITIZE_ADDRESS__)
enum { DEFAULT_SEEDS = 3000 };
#else
enum { DEFAULT_SEEDS = 20000 };
#endif

enum { ENOUGH_SEEDS = 20000, STEPS_MAX = 400000 };

static void check_stream(const struct wbi_stream *stream)
{
	CHECK(stream->from <= stream->acknowledged && stream->acknowledged <= stream->offset);
	CHECK(stream->offset <= stream->limit);
	if (stream->sends) {
		CHECK(stream->offset <= stream->high && stream->high <= stream->limit);
		CHECK(!stream->borrowed);
	} else if (stream->state == WBI_STREAM_OPEN && stream->call->state < WBI_CALL_ENDING) {
		CHECK(stream->limit - stream->acknowledged <= WBI_WINDOW_OWN + stream->borrowed);
	}
}

static void check_session(struct wbi_session *session)
{
	uint64_t borrowed = 0, last = 0;
	unsigned count = 0;

	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CONTAINER(node, struct wbi_call, node);

		CHECK(call->id > last && call->id <= session->highest_id);
		last = call->id;
		count++;
		for (unsigned i = 0; i < call->stream_count; i++) {
			check_stream(&call->streams[i]);
			borrowed += call->streams[i].borrowed;
		}
	}
	for (struct wbi_list *node = session->graveyard.next; node != &session->graveyard;
	     node = node->next) {
		count++;
	}
	CHECK(count == session->call_count && count <= session->config.limits.calls);
	CHECK(borrowed == session->pool.used_bytes);
	CHECK(session->pool.used_bytes <= session->pool.limit_bytes);
}

/* Both ends of one stream: nothing arrived that was not sent, no one was granted what was not
 * promised. */
static void check_pair(const struct wbi_stream *sender, const struct wbi_stream *receiver)
{
	if (sender->state == WBI_STREAM_RESET || receiver->state == WBI_STREAM_RESET ||
	    receiver->call->state >= WBI_CALL_ENDING || sender->call->state >= WBI_CALL_ENDED)
		return;
	if (receiver->call->state == WBI_CALL_OPENING && !receiver->sends &&
	    receiver->call->session->config.role == WBI_CLIENT)
		return; /* it does not know yet where the stream begins */
	CHECK(injected || receiver->offset <= sender->high);
	CHECK(sender->limit <= receiver->limit);
	CHECK(sender->acknowledged <= receiver->acknowledged);
}

static void check_pairs(void)
{
	for (unsigned id = 1; id <= client.opened_count; id++) {
		struct wbi_call *ours = client.errands[id].call;
		struct wbi_call *theirs =
			server.commands[id].known ? server.commands[id].call : NULL;

		if (!ours || !theirs || client.errands[id].ended)
			continue;
		for (unsigned i = 0; i < ours->stream_count; i++) {
			struct wbi_stream *a = &ours->streams[i], *b = &theirs->streams[i];

			CHECK(a->number == b->number && a->sends != b->sends);
			check_pair(a->sends ? a : b, a->sends ? b : a);
		}
	}
}

static void check_all(void)
{
	check_session(client.session);
	if (server.session)
		check_session(server.session);
	check_pairs();
}

static bool conn_step(struct conn *conn)
{
	bool any = false;
	bool asleep = client.asleep_until && !conn->clone;

	if (!conn->used)
		return false;
	if (conn->carriers[0] && !asleep && chance(700))
		any |= conn_write(conn, 0);
	if (conn->carriers[1] && chance(700))
		any |= conn_write(conn, 1);
	if (chance(800))
		any |= net_step(conn);
	if (conn->carriers[0] && !asleep && chance(700))
		any |= client_read(conn);
	if (conn->used && conn->carriers[1] && chance(700))
		any |= server_read(conn);
	for (int end = 0; end < 2 && conn->used; end++) {
		if (!conn->carriers[end] || (asleep && !end) || !net_lost(conn, end) || chance(500))
			continue;
		wbi_carrier_lost(conn->carriers[end], sim.now_ms);
		any |= end ? server_read(conn) : client_read(conn);
	}
	return any;
}

static void drop_clone(void)
{
	bool on = false;

	for (unsigned i = 0; i < CONNS_MAX; i++)
		on |= conns[i].used && conns[i].clone && conns[i].carriers[0];
	if (on && !chance(20) && faults)
		return;
	wbi_session_free(clone);
	clone = NULL;
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (conns[i].used && conns[i].clone && conns[i].carriers[0])
			conn_end(&conns[i], 0);
	}
}

/* What the deadlines ask for. */
static void tick_all(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		for (int end = 0; conns[i].used && end < 2; end++) {
			bool asleep = !end && client.asleep_until && !conns[i].clone;
			struct wbi_carrier *carrier = conns[i].carriers[end];

			if (!carrier || asleep || wbi_carrier_deadline(carrier) > sim.now_ms)
				continue;
			wbi_carrier_tick(carrier, sim.now_ms);
			if (end)
				server_read(&conns[i]);
			else
				client_read(&conns[i]);
		}
	}
	server_session_events();
	if (client.asleep_until && sim.now_ms >= client.asleep_until) {
		client.asleep_until = 0;
		wbi_session_continue(client.session);
	}
}

static uint64_t next_deadline(void)
{
	uint64_t least = WBI_NEVER_MS, at;

	for (unsigned i = 0; i < CONNS_MAX; i++) {
		for (int end = 0; conns[i].used && end < 2; end++) {
			if (!conns[i].carriers[end] ||
			    (!end && client.asleep_until && !conns[i].clone))
				continue;
			at = wbi_carrier_deadline(conns[i].carriers[end]);
			least = at < least ? at : least;
		}
	}
	if (server.session) {
		at = wbi_session_deadline(server.session);
		least = at < least ? at : least;
	}
	if (client.asleep_until && client.asleep_until < least)
		least = client.asleep_until;
	if (!client.session->carrier && client.dial_at > sim.now_ms && client.dial_at < least)
		least = client.dial_at;
	return least;
}

static void pass_time(unsigned idle)
{
	uint64_t next;

	if (idle < 12) {
		if (chance(100))
			sim.now_ms += below(chance(100) ? 200 : 5);
		return;
	}
	next = next_deadline();
	if (next != WBI_NEVER_MS && next > sim.now_ms)
		sim.now_ms = next;
}

static bool one_step(void)
{
	bool any = false;

	for (unsigned i = 0; i < CONNS_MAX; i++)
		any |= conn_step(&conns[i]);
	any |= server_step();
	if (!client.asleep_until) {
		any |= client_step();
		if (!client.session->carrier && sim.now_ms >= client.dial_at && chance(300)) {
			any |= client_dial(client.session);
			client.dial_at = faults && chance(200) ? sim.now_ms + below(4000) : 0;
		}
	}
	if (clone)
		drop_clone();
	if (faults && chance(60))
		fault_step();
	return any;
}

static void run(void)
{
	uint64_t fault_steps = 100 + below(1500), quiet_since = 0;
	unsigned idle = 0;

	for (sim.step = 0; sim.step < STEPS_MAX; sim.step++) {
		bool was = faults;

		faults = sim.step < fault_steps;
		if (was && !faults)
			quiet_since = sim.now_ms;
		idle = one_step() ? 0 : idle + 1;
		pass_time(idle);
		tick_all();
		check_all();
		if (all_done() && (!faults || chance(50)))
			return;
		CHECK(faults || sim.now_ms - quiet_since < FINISH_MS);
	}
	CHECK(!"it ends");
}

/* An orderly end, or none. */
static void say_bye(void)
{
	faults = false;
	if (!client.session->carrier || client.asleep_until)
		return;
	wbi_session_bye(client.session);
	for (unsigned i = 0; i < 2000 && (client.session->carrier || server.session); i++) {
		for (unsigned k = 0; k < CONNS_MAX; k++)
			conn_step(&conns[k]);
		tick_all();
		check_all();
	}
}

static void run_seed(uint64_t seed)
{
	sim.seed = sim.random = seed;
	sim.now_ms = 1000 + below(1000000);
	sim.step = 0;
	make_plans();
	memset(&server, 0, sizeof(server));
	server.pool = (struct wbi_pool){.limit_bytes = below(500000)};
	server.instance = 1;
	may_lose = injected = repeated = false;
	faults = true;
	client_init();
	run();
	if (chance(500))
		say_bye();
	wbi_session_free(clone);
	clone = NULL;
	wbi_session_free(client.session);
	CHECK(client.pool.used_bytes == 0);
	server_forgets_all();
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		for (int end = 0; end < 2; end++) {
			if (conns[i].used && !conns[i].told[end])
				conn_end(&conns[i], end);
		}
	}
}

static uint64_t run_seeds(uint64_t from, uint64_t count)
{
	uint64_t successes = 0;

	for (uint64_t seed = from; seed < from + count; seed++) {
		run_seed(seed);
		successes += client.successes;
	}
	conns_done();
	return successes;
}

static uint64_t wanted_seeds(void)
{
	const char *wanted = getenv("WAYBILL_SIM_SEEDS");

	return wanted ? strtoull(wanted, NULL, 10) : DEFAULT_SEEDS;
}

static void test_seeds(void **state)
{
	(void)state;
	sim.under_cmocka = true;
	/* Some hundred seeds without a single success would prove nothing. */
	assert_true(run_seeds(1, wanted_seeds()) > wanted_seeds() / 4);
}

/* Each parcel, in each direction that it goes, has died before, within and behind its bytes. */
static void test_cut_table(void **state)
{
	(void)state;
	if (wanted_seeds() < ENOUGH_SEEDS) {
		print_message("fewer than %d seeds do not hit every row of the cut table\n",
			      ENOUGH_SEEDS);
		skip();
	}
	assert_int_equal(missing_rows(false), 0);
}

static int usage(void)
{
	fprintf(stderr, "usage: %s [--seed N | --from A --count C] [--trace] [--table]\n",
		sim.program);
	return 2;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_cut_table),
	};
	uint64_t from = 1, count = wanted_seeds(), successes;
	bool table = false;

	sim.program = argv[0];
	make_pattern();
	if (argc == 1)
		return cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--trace")) {
			sim.trace = true;
		} else if (!strcmp(argv[i], "--table")) {
			table = true;
		} else if (!strcmp(argv[i], "--seed") && more) {
			from = strtoull(argv[++i], NULL, 10);
			count = 1;
		} else if (!strcmp(argv[i], "--from") && more) {
			from = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--count") && more) {
			count = strtoull(argv[++i], NULL, 10);
		} else {
			return usage();
		}
	}
	successes = run_seeds(from, count);
	printf("%llu seeds, %llu commands succeeded, %u cells of the cut table missed\n",
	       (unsigned long long)count, (unsigned long long)successes, missing_rows(table));
	return 0;
}
