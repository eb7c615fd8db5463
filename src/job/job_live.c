/* What an owner asks of a job, plain or live. */
#include <signal.h>

#include "job/job.h"
#include "job/job_state.h"
#include "sys/pty.h"

enum wbi_job_outcome wbi_job_outcome(const struct wbi_job *job)
{
	return job->outcome;
}

const struct wbi_process_end *wbi_job_end(const struct wbi_job *job)
{
	return &job->end;
}

const struct wb_fault *wbi_job_fault(const struct wbi_job *job)
{
	return &job->fault;
}

bool wbi_job_held_open(const struct wbi_job *job)
{
	return job->held_open;
}

const struct wbi_spool *wbi_job_output(const struct wbi_job *job, int stream)
{
	return &job->outlets[stream - 1].spool;
}

void *wbi_job_owner(const struct wbi_job *job)
{
	return job->live ? job->owner : NULL;
}

pid_t wbi_job_pid(const struct wbi_job *job)
{
	return job->process.pid;
}

struct wbi_log *wbi_job_log(struct wbi_job *job, int stream)
{
	struct wbi_outlet *outlet = &job->outlets[stream - 1];

	return outlet->has_log ? &outlet->log : NULL;
}

void wbi_job_resume(struct wbi_job *job, int stream)
{
	wbi_outlet_resume(&job->outlets[stream - 1], false);
}

void wbi_job_close_output(struct wbi_job *job, int stream)
{
	struct wbi_outlet *outlet = &job->outlets[stream - 1];

	wbi_outlet_close(outlet);
	/* A terminal hangs up once nobody has it any more. */
	if (job->terminal)
		wbi_inlet_close(&job->inlet);
	wbi_log_end(&outlet->log, false);
	/* It may have been the last that the end waited for, which is not told from in here.
	 * Without memory for a timer the old one does. */
	if (job->state == WBI_JOB_STATE_DRAINING &&
	    wbi_loop_timer(job->env->loop, &job->timer, 0) != WB_OK)
		return;
}

size_t wbi_job_input(struct wbi_job *job, const void *data, size_t bytes)
{
	return wbi_inlet_write(&job->inlet, data, bytes);
}

size_t wbi_job_input_waiting(const struct wbi_job *job)
{
	return wbi_buf_bytes(&job->inlet.waiting);
}

void wbi_job_end_input(struct wbi_job *job)
{
	wbi_inlet_end(&job->inlet);
}

bool wbi_job_takes_input(const struct wbi_job *job)
{
	return wbi_inlet_is_open(&job->inlet);
}

void wbi_job_signal(struct wbi_job *job, int number)
{
	pid_t group = job->process.pid;

	if (group == 0)
		return;
	if (job->terminal && wbi_outlet_is_open(&job->outlets[0])) {
		pid_t foreground = wbi_pty_foreground(job->outlets[0].watch.fd);
		if (foreground > 0)
			group = foreground;
	}
	(void)kill(-group, number);
}

void wbi_job_resize(struct wbi_job *job, uint16_t rows, uint16_t cols)
{
	if (job->terminal && wbi_outlet_is_open(&job->outlets[0]))
		wbi_pty_resize(job->outlets[0].watch.fd, rows, cols);
}
