/* The session side of a daemon: see sessions.h. */
#include "app/sessions.h"

#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/directory.h"
#include "app/greeter.h"
#include "app/worker.h"
#include "service/call_service.h"
#include "sys/rand.h"
#include "waybill/version.h"

enum {
	WORKERS_MIN = 2, /* a spawn blocks its thread: one more goes on meanwhile */
	WORKERS_MAX = 16,
	SERVICES_MAX = 16,
	LOOK_MS = 500, /* how long a withdrawn key goes on */
	LOOKS = 60,    /* by then who has connected has said hello, or is gone */
};

struct wbi_sessions {
	struct wbi_worker_shared shared;
	struct wbi_worker *workers[WORKERS_MAX];
	struct wbi_greeter greeter;
	const char *services[SERVICES_MAX + 1];
	char user[WBI_USER_MAX];
	struct wbi_timer look; /* whether the authorities have changed */
	uint64_t stamp;        /* of what was seen of them last */
	int looks_left;        /* until nobody is there who cares */
	struct wbi_sessions_options options;
};

static void start_look(struct wbi_sessions *sessions);

static void all_drained(struct wbi_worker_shared *shared)
{
	struct wbi_sessions *sessions = WBI_CONTAINER(shared, struct wbi_sessions, shared);

	wbi_loop_post(sessions->options.loop, sessions->options.task);
}

static unsigned count_workers(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < WORKERS_MIN)
		return WORKERS_MIN;
	return processors < WORKERS_MAX ? (unsigned)processors : WORKERS_MAX;
}

static void name_user(struct wbi_sessions *sessions)
{
	const struct passwd *entry = getpwuid(geteuid());

	if (entry)
		snprintf(sessions->user, sizeof(sessions->user), "%s", entry->pw_name);
	else
		snprintf(sessions->user, sizeof(sessions->user), "%lu", (unsigned long)geteuid());
}

static void list_services(struct wbi_sessions *sessions)
{
	for (unsigned i = 0; i < SERVICES_MAX && wbi_call_services[i]; i++)
		sessions->services[i] = wbi_call_services[i]->name;
}

static enum wb_err init_shared(struct wbi_sessions *sessions, struct wb_fault *fault)
{
	struct wbi_worker_shared *shared = &sessions->shared;
	enum wb_err err;

	shared->limits = sessions->options.limits;
	shared->spool_folder = sessions->options.spool_folder;
	shared->files_root = sessions->options.files_root;
	wbi_files_claims_init(&shared->claims);
	shared->nofile = sessions->options.nofile;
	shared->cgroup = sessions->options.cgroup;
	shared->commands = sessions->options.commands;
	shared->spooled = sessions->options.spooled;
	shared->authority = sessions->options.authority;
	shared->log_format = sessions->options.audit->format;
	shared->drained = all_drained;
	shared->workers = sessions->workers;
	shared->worker_count = count_workers();
	atomic_init(&shared->undrained, shared->worker_count);
	shared->session = (struct wbi_session_config){
		.role = WBI_SERVER,
		.limits = wbi_session_limits_default,
		.agent = "waybill/" WB_VERSION,
		.open_fields = wbi_call_fields,
		.services = sessions->services,
	};
	shared->session.limits.hold_ms = shared->limits->hold_ms;
	err = wbi_rand_fill(shared->session.instance, sizeof(shared->session.instance), fault);
	if (!err)
		err = wbi_directory_new(shared->worker_count, shared->limits->sessions,
					&shared->directory);
	if (!err)
		err = wbi_registry_new(shared->limits->jobs, &shared->registry);
	if (!err)
		err = wbi_keys_new(&shared->keys);
	return err;
}

static enum wb_err start_workers(struct wbi_sessions *sessions, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	/* All before any starts: each may hand over to each. */
	for (unsigned i = 0; i < sessions->shared.worker_count && !err; i++)
		err = wbi_worker_new(&sessions->shared, i, &sessions->workers[i], fault);
	for (unsigned i = 0; i < sessions->shared.worker_count && !err; i++)
		err = wbi_worker_start(sessions->workers[i], fault);
	return err;
}

/* ---- changes of the keys ---- */

static void review(struct wbi_sessions *sessions)
{
	for (unsigned i = 0; i < sessions->shared.worker_count; i++)
		wbi_worker_review(sessions->shared.workers[i]);
}

/* Runs on while there are sessions that keys have opened, or may be about to be. */
static void on_look(struct wbi_timer *timer)
{
	struct wbi_sessions *sessions = WBI_CONTAINER(timer, struct wbi_sessions, look);
	uint64_t stamp = wbi_authority_stamp(sessions->shared.authority);

	if (stamp != sessions->stamp)
		review(sessions);
	sessions->stamp = stamp;
	if (atomic_load(&sessions->shared.guests) > 0)
		sessions->looks_left = LOOKS;
	if (sessions->looks_left-- > 0)
		start_look(sessions);
}

/* Without memory for a timer a session lives until its connection ends. */
static void start_look(struct wbi_sessions *sessions)
{
	(void)!wbi_loop_timer(sessions->options.loop, &sessions->look, LOOK_MS);
}

/* Whoever comes in from now on was let in by the files as they are now, or later. */
static void watch_keys(struct wbi_sessions *sessions)
{
	bool watched = sessions->looks_left > 0;

	sessions->looks_left = LOOKS;
	if (watched)
		return;
	sessions->stamp = wbi_authority_stamp(sessions->shared.authority);
	start_look(sessions);
}

/* ---- the whole ---- */

enum wb_err wbi_sessions_new(const struct wbi_sessions_options *options,
			     struct wbi_sessions **ret_sessions, struct wb_fault *fault)
{
	struct wbi_sessions *sessions = calloc(1, sizeof(*sessions));
	enum wb_err err;

	if (!sessions)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for sessions");
	sessions->options = *options;
	sessions->look.fn = on_look;
	name_user(sessions);
	list_services(sessions);
	err = init_shared(sessions, fault);
	if (!err)
		err = wbi_greeter_init(&sessions->greeter, &sessions->shared, options->loop,
				       options->audit, sessions->user);
	if (!err)
		err = start_workers(sessions, fault);
	if (err == WB_ERR_NOMEM)
		wb_fault_set(fault, err, NULL, 0, "no memory for sessions");
	if (!err)
		*ret_sessions = sessions;
	else
		wbi_sessions_free(sessions);
	return err;
}

void wbi_sessions_free(struct wbi_sessions *sessions)
{
	if (!sessions)
		return;
	wbi_greeter_done(&sessions->greeter);
	wbi_loop_cancel(sessions->options.loop, &sessions->look);
	for (unsigned i = 0; i < sessions->shared.worker_count; i++)
		wbi_worker_stop(sessions->workers[i]);
	for (unsigned i = 0; i < 2 * sessions->shared.worker_count; i++)
		wbi_worker_settle(sessions->workers[i % sessions->shared.worker_count]);
	for (unsigned i = 0; i < sessions->shared.worker_count; i++)
		wbi_worker_free(sessions->workers[i]);
	wbi_tls_context_free(sessions->greeter.tls);
	wbi_keys_free(sessions->shared.keys);
	wbi_registry_free(sessions->shared.registry);
	wbi_directory_free(sessions->shared.directory);
	wbi_files_claims_done(&sessions->shared.claims);
	free(sessions);
}

enum wb_err wbi_sessions_accept(struct wbi_sessions *sessions, int fd,
				const struct wbi_caller *caller, struct wb_fault *fault)
{
	enum wb_err err = wbi_greeter_accept(&sessions->greeter, fd, caller, fault);

	if (!err && caller->shows_key)
		watch_keys(sessions);
	return err;
}

enum wb_err wbi_sessions_begin_tls(struct wbi_sessions *sessions, struct wb_fault *fault)
{
	if (sessions->greeter.tls)
		return WB_OK;
	if (!sessions->options.identity)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "tls needs a host key");
	return wbi_tls_context_new(WBI_TLS_SERVER, sessions->options.identity,
				   &sessions->greeter.tls, fault);
}

void wbi_sessions_drain(struct wbi_sessions *sessions)
{
	wbi_greeter_done(&sessions->greeter);
	for (unsigned i = 0; i < sessions->shared.worker_count; i++)
		wbi_worker_drain(sessions->workers[i]);
}
