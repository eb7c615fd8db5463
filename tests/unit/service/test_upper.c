/* upper over UDP: a peer that never stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/service.h"
#include "transport/udp.h"

enum { TURNS = 20, EVENT_MS = 5000, PATIENCE_S = 30 };

struct fixture {
	struct wbi_service_env env;
	struct wbi_datagram_service *service;
	int fd; /* the service's */
	struct wbi_task other;
	unsigned turns_of_other;
	struct wbi_timer pause;
	bool paused;
};

/* Work that waits at the same loop: due in every turn. */
static void take_turn(struct wbi_task *task)
{
	struct fixture *fixture = WBI_CONTAINER(task, struct fixture, other);

	fixture->turns_of_other++;
	wbi_loop_defer(fixture->env.plain.loop, task);
}

/* A socket that gets its own replies: a flood that goes on for as long as it is answered. The
 * service drops what comes from its own port, so it does not learn that it has one until later. */
static void begin_flood(struct fixture *fixture)
{
	struct sockaddr_in self = {.sin_family = AF_INET,
				   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t bytes = sizeof(self);

	fixture->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fixture->fd >= 0);
	assert_int_equal(wbi_upper_bind(&fixture->env, fixture->fd, false, &fixture->service, NULL),
			 WB_OK);
	assert_int_equal(bind(fixture->fd, (struct sockaddr *)&self, sizeof(self)), 0);
	assert_int_equal(getsockname(fixture->fd, (struct sockaddr *)&self, &bytes), 0);
	for (int i = 0; i < WBI_UDP_BATCH; i++)
		assert_int_equal(
			sendto(fixture->fd, "x", 1, 0, (struct sockaddr *)&self, sizeof(self)), 1);
}

static unsigned waiting(const struct fixture *fixture)
{
	char byte;

	return recv(fixture->fd, &byte, 1, MSG_PEEK) == 1;
}

static void on_pause(struct wbi_timer *timer)
{
	WBI_CONTAINER(timer, struct fixture, pause)->paused = true;
}

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.other.fn = take_turn, .pause.fn = on_pause, .fd = -1};
	wbi_list_init(&fixture.other.node);
	assert_int_equal(wbi_loop_new(&fixture.env.plain.loop, NULL), WB_OK);
	wbi_audit_init(&fixture.env.audit, STDERR_FILENO, WBI_AUDIT_TEXT);
	alarm(PATIENCE_S); /* a turn that never ends */
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	alarm(0);
	wbi_list_remove(&fixture->other.node);
	fixture->service->close(fixture->service);
	wbi_loop_free(fixture->env.plain.loop);
	return 0;
}

/* However much comes, every turn ends, and whoever else waits has one. */
static void a_flood_holds_up_nobody(void **state)
{
	struct fixture *fixture = *state;

	begin_flood(fixture);
	wbi_loop_defer(fixture->env.plain.loop, &fixture->other);
	for (unsigned i = 1; i <= TURNS; i++) {
		assert_int_equal(wbi_loop_turn(fixture->env.plain.loop, 0, NULL), WB_OK);
		assert_int_equal(fixture->turns_of_other, i);
	}
	assert_true(waiting(fixture)); /* it has not ended meanwhile */
}

/* Whether nothing is to be done: one turn of the loop then lasts as long as its timer. */
static bool is_at_rest(struct fixture *fixture)
{
	struct wbi_loop *loop = fixture->env.plain.loop;

	fixture->paused = false;
	assert_int_equal(wbi_loop_timer(loop, &fixture->pause, 20), WB_OK);
	assert_int_equal(wbi_loop_turn(loop, EVENT_MS, NULL), WB_OK);
	wbi_loop_cancel(loop, &fixture->pause);
	return fixture->paused;
}

/* While a flood is on, the socket is not watched, and looked at in every turn; once that is over it
 * is watched again, and no longer looked at. */
static void after_a_flood_it_listens_again(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t bytes = sizeof(at);
	int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char drained[WBI_UDP_BATCH], reply = 0;

	begin_flood(fixture);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wbi_loop_turn(fixture->env.plain.loop, 0, NULL), WB_OK);
	while (recv(fixture->fd, drained, sizeof(drained), 0) > 0)
		;
	assert_false(is_at_rest(fixture)); /* it looks for more of the flood, once */
	assert_true(is_at_rest(fixture));
	assert_int_equal(getsockname(fixture->fd, (struct sockaddr *)&at, &bytes), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(send(client, "a", 1, 0), 1);
		assert_int_equal(wbi_loop_turn(fixture->env.plain.loop, EVENT_MS, NULL), WB_OK);
		assert_int_equal(recv(client, &reply, 1, MSG_DONTWAIT), 1);
		assert_int_equal(reply, 'A');
	}
	close(client);
}

/* Closed in the midst of it: nothing of it is left in the loop. */
static void a_flood_may_be_closed(void **state)
{
	struct fixture *fixture = *state;

	begin_flood(fixture);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wbi_loop_turn(fixture->env.plain.loop, 0, NULL), WB_OK);
	fixture->service->close(fixture->service);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wbi_loop_turn(fixture->env.plain.loop, 0, NULL), WB_OK);
	begin_flood(fixture); /* for the end of the test to close */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flood_holds_up_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(after_a_flood_it_listens_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_may_be_closed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
