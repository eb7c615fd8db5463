/* exec: a command that is ended for two reasons. The first one is told. */
#include "exec_fixture.h"

#include "service/exec_view.h"

/* Hears that it is to end, and does when it is told a second time, or has no daemon any more. */
static const char *const stubborn[] = {"/bin/sh", "-c",
				       "trap '' HUP; trap 'echo told' TERM; trap 'exit 7' USR1; "
				       "echo ready; while kill -0 $PPID; do read x; done",
				       NULL};

static struct wbi_exec_job *job_of(struct fixture *fixture, const struct command *command)
{
	struct wbi_exec_job *exec = wbi_exec_job_find(&fixture->env, command->job);

	assert_non_null(exec);
	return exec;
}

/* ---- reasons ---- */

static void by_timeout(struct fixture *fixture, struct command *command)
{
	struct wbi_exec_job *exec = job_of(fixture, command);

	assert_int_not_equal(exec->timeout.node.place, 0);
	assert_int_equal(wbi_loop_timer(fixture->loop, &exec->timeout, 0), WB_OK);
	RUN_UNTIL(fixture, command->exited || exec->timeout.node.place == 0);
}

static void by_cancel(struct fixture *fixture, struct command *command)
{
	struct wbi_exec_job *exec = job_of(fixture, command);

	wbi_call_cancel(command->call);
	fixture->moved = true;
	RUN_UNTIL(fixture, command->exited || exec->view->served.call->cancelled);
}

static void by_damage(struct fixture *fixture, struct command *command)
{
	wbi_exec_job_end(job_of(fixture, command), WBI_EXEC_BY_DAMAGE);
}

static void by_kill(struct fixture *fixture, struct command *command)
{
	wbi_exec_kill(&fixture->env, command->job, NULL);
}

/* `waybill kill` is no outcome of its own: the command's is told. */
static const struct reason {
	const char *name;
	void (*give)(struct fixture *fixture, struct command *command);
	enum wbi_outcome outcome;
} reasons[] = {
	{"timeout", by_timeout, WBI_OUTCOME_TIMEOUT},
	{"cancel", by_cancel, WBI_OUTCOME_CANCELLED},
	{"damage", by_damage, WBI_OUTCOME_FAILED},
	{"kill", by_kill, WBI_OUTCOME_EXITED},
};

enum { REASONS = sizeof(reasons) / sizeof(reasons[0]) };

/* Where the machine is slow the command may not outlive its second of grace. */
static bool is_outcome_of(const struct command *command, const struct reason *reason)
{
	enum wbi_outcome outcome = command->result.exit.outcome;

	return outcome == reason->outcome ||
	       (reason->give == by_kill && outcome == WBI_OUTCOME_SIGNALED);
}

static void end_twice(struct fixture *fixture, const struct reason *first,
		      const struct reason *second)
{
	struct command command;

	begin(&fixture->peers[0], (struct ask){.argv = stubborn, .timeout_ms = 600000}, &command);
	RUN_UNTIL(fixture, has_text(&command, "ready\n"));
	first->give(fixture, &command);
	RUN_UNTIL(fixture, command.exited || has_text(&command, "told\n"));
	if (!command.exited)
		second->give(fixture, &command);
	if (!command.exited)
		wbi_exec_kill(&fixture->env, command.job, "USR1");
	RUN_UNTIL(fixture, command.exited);
	if (!is_outcome_of(&command, first))
		fail_msg("%s, then %s: it says %s", first->name, second->name,
			 wbi_outcome_name(command.result.exit.outcome));
	end(fixture, &command);
}

static void the_first_reason_is_told(void **state)
{
	for (int i = 0; i < REASONS; i++)
		for (int j = 0; j < REASONS; j++)
			if (i != j)
				end_twice(*state, &reasons[i], &reasons[j]);
}

static bool is_zombie_or_gone(pid_t pid)
{
	char path[40], state = 'Z';
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");

	if (file && fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'Z';
	if (file)
		fclose(file);
	return state == 'Z';
}

/* What ends it first may also be itself: while somebody holds its output open, it is not reported
 * yet, and yet a reason that comes now is none. */
static void end_too_late(struct fixture *fixture, const struct reason *reason)
{
	struct command command;
	pid_t leader, survivor;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("tail -f /dev/null & echo $! on; exit 5"),
			   .timeout_ms = 600000},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, " on\n"));
	survivor = (pid_t)atoi(text_of(&command, 1));
	leader = job_of(fixture, &command)->pid;
	RUN_UNTIL(fixture, is_zombie_or_gone(leader));
	for (int i = 0; i < 3; i++)
		step(fixture); /* the loop has seen it too */
	assert_false(command.exited);
	reason->give(fixture, &command);
	kill(survivor, SIGKILL);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_int_equal(command.result.exit.code, 5);
	end(fixture, &command);
}

static void its_own_end_is_first(void **state)
{
	struct fixture *fixture = *state;

	fixture->limits.held_open_ms = DEADLINE_MS * 2;
	for (int i = 0; i < REASONS; i++)
		end_too_late(fixture, &reasons[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_reason_is_told),
		TEST(its_own_end_is_first),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
