/* A crowd at a daemon's door: many sessions with many calls each, of every kind, whose connections
 * break all the time. What must come of each call is known beforehand, and checked.
 *
 *     crowd [options] UNIX_URI TCP_URI
 *
 * Exits 0 if all came as it must, 1 otherwise. The plan follows from the seed; time is the
 * machine's. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "place.h"

enum { THREADS_MAX = 16, PLACES_MAX = 2000, TURN_MS = 1000, COLLECTORS = 8 };

static atomic_uint crashes;
static struct crowd_options options = {.seed = 1,
				       .seconds = 5,
				       .places = 200,
				       .visits = 10,
				       .threads = 4,
				       .cut_ms = 2000,
				       .crashes = &crashes};
static uint64_t patience_ms = 60000;

struct team {
	pthread_t thread;
	struct graveyard yard;
	struct tally tally;
	struct leftovers leftovers;
	struct place *places;
	struct pollfd *fds;
	unsigned count;
};

static struct team teams[THREADS_MAX];

/* ---- a thread and its sessions ---- */

static bool step_all(struct team *team, uint64_t now, bool stopping)
{
	bool more = false;

	for (unsigned i = 0; i < team->count; i++)
		more |= place_step(&team->places[i], now, stopping);
	return more;
}

static void wait_all(struct team *team, uint64_t now)
{
	uint64_t deadline = now + TURN_MS;

	for (unsigned i = 0; i < team->count; i++) {
		struct place *place = &team->places[i];
		uint64_t due = place->client ? place_deadline_ms(place, now) : UINT64_MAX;

		if (due < deadline)
			deadline = due;
		team->fds[i] = (struct pollfd){.fd = -1};
		if (place->client && wb_client_events(place->client))
			team->fds[i] = (struct pollfd){wb_client_fd(place->client),
						       wb_client_events(place->client), 0};
	}
	if (poll(team->fds, team->count, deadline > now ? (int)(deadline - now) : 0) < 0 &&
	    errno != EINTR)
		abort();
}

static void process_all(struct team *team)
{
	for (unsigned i = 0; i < team->count; i++) {
		struct place *place = &team->places[i];

		if (place->client &&
		    (team->fds[i].revents || wb_client_timeout_ms(place->client) == 0))
			place_process(place, team->fds[i].revents);
	}
}

static void *run(void *argument)
{
	struct team *team = argument;
	uint64_t now = now_ms();

	while (step_all(team, now, now >= options.stop_ms)) {
		if (now >= options.stop_ms + patience_ms) {
			team->tally.wrong++;
			for (unsigned i = 0; i < team->count; i++)
				if (team->places[i].client)
					place_tell_stuck(&team->places[i]);
			break;
		}
		wait_all(team, now);
		process_all(team);
		now = now_ms();
	}
	return NULL;
}

static void make_team(struct team *team, unsigned number)
{
	team->count =
		options.places / options.threads + (number < options.places % options.threads);
	team->places = calloc(team->count, sizeof(*team->places));
	team->fds = calloc(team->count, sizeof(*team->fds));
	if (!team->places || !team->fds)
		abort();
	graveyard_init(&team->yard);
	for (unsigned i = 0; i < team->count; i++) {
		unsigned index = i * options.threads + number;
		struct dice seed = {options.seed ^ ((uint64_t)index << 32)};

		team->places[i] = (struct place){
			.options = &options,
			.yard = &team->yard,
			.tally = &team->tally,
			.leftovers = &team->leftovers,
			.index = index,
			.collects = i % COLLECTORS == 1,
			.dice = {dice_next(&seed)},
			.cut_dice = {dice_next(&seed)},
		};
	}
}

static void free_team(struct team *team)
{
	for (unsigned i = 0; i < team->count; i++) {
		wb_client_free(team->places[i].client);
		free(team->places[i].promises);
	}
	graveyard_done(&team->yard);
	free(team->places);
	free(team->fds);
}

/* ---- the ledger: who ran, and how often ---- */

static struct place *place_at(unsigned index)
{
	struct team *team = &teams[index % options.threads];
	unsigned i = index / options.threads;

	return index < options.places && i < team->count ? &team->places[i] : NULL;
}

/* Each line takes a promise away; a second one finds none. */
static uint64_t read_ledger(FILE *file)
{
	unsigned index, number;
	uint64_t wrong = 0;

	while (fscanf(file, "%u %u\n", &index, &number) == 2) {
		struct place *place = place_at(index);

		if (place && number < place->promises_room && place->promises[number]) {
			if (place->promises[number] != PROMISED_WHATEVER)
				place->promises[number] = PROMISED_NOTHING;
			continue;
		}
		fprintf(stderr, "crowd: place %u order %u ran once too often\n", index, number);
		wrong++;
	}
	return wrong;
}

static uint64_t check_ledger(void)
{
	FILE *file = fopen(options.ledger, "re");
	uint64_t wrong = 0;

	if (!file) {
		perror(options.ledger);
		return 1;
	}
	wrong = read_ledger(file);
	fclose(file);
	for (unsigned i = 0; i < options.places; i++) {
		const struct place *place = place_at(i);

		for (uint32_t n = 0; n < place->promises_room; n++)
			if (place->promises[n] == PROMISED_ONCE) {
				fprintf(stderr, "crowd: place %u order %u has not run\n", i, n);
				wrong++;
			}
	}
	return wrong;
}

/* ---- all together ---- */

static void add(struct tally *sum, const struct tally *tally)
{
	uint64_t *into = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)tally;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*into); i++)
		into[i] += from[i];
}

static void print_tally(const struct tally *sum)
{
	printf("crowd: seed %llu: %llu calls in %llu sessions, %llu bytes:",
	       (unsigned long long)options.seed, (unsigned long long)sum->calls,
	       (unsigned long long)sum->sessions, (unsigned long long)sum->bytes);
	for (int i = 0; i <= WB_OUTCOME_LOST; i++)
		printf(" %llu %s,", (unsigned long long)sum->outcomes[i],
		       wb_outcome_name((enum wb_outcome)i));
	printf(" %llu abandoned; cuts:", (unsigned long long)sum->abandoned);
	for (int i = 0; i < CUT_KINDS; i++)
		printf(" %llu %s,", (unsigned long long)sum->cuts[i], cut_names[i]);
	printf(" %llu resumed; stopped %llu times; %llu left, %llu collected; ",
	       (unsigned long long)sum->resumed, (unsigned long long)sum->stopped,
	       (unsigned long long)sum->left, (unsigned long long)sum->collected);
	printf("%llu sessions crashed, %llu calls afterwards; %llu wrong\n",
	       (unsigned long long)sum->crashed, (unsigned long long)sum->afterwards,
	       (unsigned long long)sum->wrong);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: crowd [--seed N] [--seconds N] [--sessions N] [--calls N] [--threads N]\n"
		"             [--cut-ms N] [--patience-ms N] [--may-refuse] [--vanish]\n"
		"             [--crash (SIGUSR1 says that one is about to come)]\n"
		"             --ledger FILE UNIX_URI TCP_URI\n");
	return 2;
}

static bool parse(int argc, char **argv)
{
	static const struct option table[] = {
		{"seed", 1, 0, 's'},       {"seconds", 1, 0, 't'},     {"sessions", 1, 0, 'n'},
		{"calls", 1, 0, 'c'},      {"threads", 1, 0, 'j'},     {"cut-ms", 1, 0, 'x'},
		{"may-refuse", 0, 0, 'r'}, {"vanish", 0, 0, 'v'},      {"crash", 0, 0, 'k'},
		{"ledger", 1, 0, 'l'},     {"patience-ms", 1, 0, 'p'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		unsigned long long value = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (option) {
		case 's':
			options.seed = value;
			break;
		case 't':
			options.seconds = value;
			break;
		case 'n':
			options.places = (unsigned)value;
			break;
		case 'c':
			options.visits = (unsigned)value;
			break;
		case 'j':
			options.threads = (unsigned)value;
			break;
		case 'x':
			options.cut_ms = (unsigned)value;
			break;
		case 'r':
			options.may_refuse = true;
			break;
		case 'v':
			options.vanish = true;
			break;
		case 'k':
			options.crash = true;
			break;
		case 'l':
			options.ledger = optarg;
			break;
		case 'p':
			patience_ms = value;
			break;
		default:
			return false;
		}
	}
	if (argc - optind != 2 || !options.ledger)
		return false;
	options.uris[0] = argv[optind];
	options.uris[1] = argv[optind + 1];
	return options.places > 0 && options.places <= PLACES_MAX && options.visits > 0 &&
	       options.visits <= VISITS_MAX && options.threads > 0 &&
	       options.threads <= THREADS_MAX;
}

static void on_crash(int number)
{
	(void)number;
	atomic_fetch_add(&crashes, 1);
}

int main(int argc, char **argv)
{
	const struct sigaction crash = {.sa_handler = on_crash, .sa_flags = SA_RESTART};
	struct tally sum = {0};

	if (!parse(argc, argv))
		return usage();
	sigaction(SIGUSR1, &crash, NULL);
	options.stop_ms = now_ms() + options.seconds * 1000;
	for (unsigned i = 0; i < options.threads; i++)
		make_team(&teams[i], i);
	for (unsigned i = 0; i < options.threads; i++)
		if (pthread_create(&teams[i].thread, NULL, run, &teams[i]) != 0)
			abort();
	for (unsigned i = 0; i < options.threads; i++) {
		pthread_join(teams[i].thread, NULL);
		add(&sum, &teams[i].tally);
	}
	sum.wrong += check_ledger();
	for (unsigned i = 0; i < options.threads; i++)
		free_team(&teams[i]);
	print_tally(&sum);
	return sum.wrong > 0;
}
