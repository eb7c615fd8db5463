/* Keeping the record of a run: parts, calls, notes, witnesses, truths. */
#include "lab/record.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *lab_error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "0";

	return name ? name : "?";
}

uint64_t lab_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double lab_ms_since(uint64_t began_ns)
{
	return (double)(lab_now_ns() - began_ns) / 1e6;
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double lab_median(double *values, size_t count)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

struct lab *lab_new(const struct lab_experiment *experiment)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	if (!lab)
		return NULL;
	lab->experiment = experiment;
	lab->outcome = -1;
	lab->prediction = -1;
	lab->part_ns = lab_now_ns();
	memset(lab->sides, -1, sizeof(lab->sides));
	return lab;
}

static void lab_clean(struct lab *lab)
{
	for (int i = 0; i < LAB_CHILDREN_MAX; i++)
		if (lab->children[i] > 0)
			lab_reap(lab, lab->children[i], SIGKILL);
	for (int fd = 0; fd < LAB_DESCRIPTORS_MAX; fd++)
		if (lab->sides[fd] >= 0) {
			close(fd);
			lab_forget(lab, fd);
		}
}

void lab_free(struct lab *lab)
{
	if (!lab)
		return;
	lab_clean(lab);
	free(lab);
}

static void lab_perform(struct lab *lab, void (*perform)(struct lab *))
{
	perform(lab);
	lab->quiet = false;
	if (lab->on_part)
		lab->on_part(lab, lab->context);
	lab_clean(lab);
}

void lab_run(struct lab *lab)
{
	lab_perform(lab, lab->experiment->run);
}

void lab_run_cure(struct lab *lab)
{
	lab->curing = true;
	lab_perform(lab, lab->experiment->cure);
}

enum lab_verdict lab_verdict(const struct lab *lab)
{
	enum lab_verdict worst = LAB_HOLDS;
	size_t truths = 0;

	for (size_t i = 0; i < lab->count; i++) {
		const struct lab_item *item = &lab->items[i];

		if (item->kind != LAB_ITEM_TRUTH)
			continue;
		truths++;
		if (item->verdict == LAB_FAILS || worst == LAB_HOLDS)
			worst = item->verdict;
	}
	return lab->overflowed || truths == 0 ? LAB_FAILS : worst;
}

static struct lab_item *add_item(struct lab *lab, enum lab_kind kind)
{
	struct lab_item *item = &lab->overflow;

	if (lab->count < LAB_ITEMS_MAX)
		item = &lab->items[lab->count++];
	else
		lab->overflowed = true;
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	item->side = LAB_KERNEL;
	item->cure = lab->curing;
	item->at_ns = lab_now_ns() - lab->part_ns;
	return item;
}

void lab_part(struct lab *lab, struct lab_text title)
{
	if (lab->on_part)
		lab->on_part(lab, lab->context);
	add_item(lab, LAB_ITEM_PART)->words = title;
	lab->part_ns = lab_now_ns();
}

void lab_restart_clock(struct lab *lab)
{
	lab->part_ns = lab_now_ns();
}

void lab_call(struct lab *lab, enum lab_side side, uint64_t began_ns, long result, const char *tail,
	      const char *format, ...)
{
	int error = errno;
	struct lab_item *item;
	va_list args;

	if (lab->quiet)
		return;
	item = add_item(lab, LAB_ITEM_CALL);
	item->side = side;
	item->took_ns = lab->part_ns + item->at_ns - began_ns;
	item->result = result;
	item->error = result < 0 ? error : 0;
	snprintf(item->tail, sizeof(item->tail), "%s", tail);
	va_start(args, format);
	vsnprintf(item->detail, sizeof(item->detail), format, args);
	va_end(args);
	errno = error;
}

void lab_note(struct lab *lab, struct lab_text words, const char *format, ...)
{
	struct lab_item *item;
	va_list args;

	if (lab->quiet)
		return;
	item = add_item(lab, LAB_ITEM_NOTE);
	item->words = words;
	va_start(args, format);
	vsnprintf(item->detail, sizeof(item->detail), format, args);
	va_end(args);
}

void lab_remark(struct lab *lab, struct lab_text words)
{
	if (!lab->quiet)
		add_item(lab, LAB_ITEM_NOTE)->words = words;
}

void lab_witness(struct lab *lab, const char *source, const char *format, ...)
{
	struct lab_item *item;
	va_list args;

	if (lab->quiet)
		return;
	item = add_item(lab, LAB_ITEM_WITNESS);
	item->source = source;
	va_start(args, format);
	vsnprintf(item->detail, sizeof(item->detail), format, args);
	va_end(args);
}

void lab_truth(struct lab *lab, enum lab_verdict verdict, struct lab_text statement,
	       const char *format, ...)
{
	struct lab_item *item = add_item(lab, LAB_ITEM_TRUTH);
	va_list args;

	item->verdict = verdict;
	item->words = statement;
	va_start(args, format);
	vsnprintf(item->detail, sizeof(item->detail), format, args);
	va_end(args);
}

enum lab_verdict lab_if_time_wait(bool holds, uint64_t overflows_before)
{
	if (holds)
		return LAB_HOLDS;
	return lab_counter("TcpExt", "TCPTimeWaitOverflow") > overflows_before ? LAB_VARIES
									       : LAB_FAILS;
}

bool lab_trouble(struct lab *lab, const char *what)
{
	lab_truth(lab, LAB_FAILS, LAB_TEXT("the experiment can be set up", "实验能够搭建起来"),
		  "%s: %s", what, lab_error_name(errno));
	return false;
}

void lab_outcome(struct lab *lab, int choice)
{
	lab->outcome = choice;
}

void lab_quiet(struct lab *lab, bool quiet)
{
	lab->quiet = quiet;
}

bool lab_cure(const char *name)
{
	const char *left_out = getenv("WAYBILL_LAB_BREAK");

	return !left_out || strcmp(left_out, name) != 0;
}

enum lab_side lab_side_of(const struct lab *lab, int fd)
{
	if (fd < 0 || fd >= LAB_DESCRIPTORS_MAX || lab->sides[fd] < 0)
		return LAB_KERNEL;
	return (enum lab_side)lab->sides[fd];
}

int lab_keep(struct lab *lab, enum lab_side side, int fd)
{
	if (fd >= 0 && fd < LAB_DESCRIPTORS_MAX)
		lab->sides[fd] = (signed char)side;
	return fd;
}

void lab_forget(struct lab *lab, int fd)
{
	if (fd >= 0 && fd < LAB_DESCRIPTORS_MAX)
		lab->sides[fd] = -1;
}

pid_t lab_fork(struct lab *lab)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; pid > 0 && i < LAB_CHILDREN_MAX; i++)
		if (lab->children[i] == 0) {
			lab->children[i] = pid;
			break;
		}
	return pid;
}

int lab_reap(struct lab *lab, pid_t pid, int signal)
{
	int status = 0;

	if (signal)
		kill(pid, signal);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < LAB_CHILDREN_MAX; i++)
		if (lab->children[i] == pid)
			lab->children[i] = 0;
	return status;
}
