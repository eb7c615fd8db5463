/* The record of one run: what happened, in order, for the views (text, JSON, check) to show. */
#ifndef LAB_RECORD_H
#define LAB_RECORD_H

#include "lab/lab.h"

enum lab_kind { LAB_ITEM_PART, LAB_ITEM_CALL, LAB_ITEM_NOTE, LAB_ITEM_WITNESS, LAB_ITEM_TRUTH };

enum {
	LAB_ITEMS_MAX = 400,
	LAB_DESCRIPTORS_MAX = 4096,
	LAB_CHILDREN_MAX = 16,
	LAB_DETAIL_MAX = 144,
	LAB_TAIL_MAX = 72,
};

struct lab_item {
	enum lab_kind kind;
	enum lab_side side;
	enum lab_verdict verdict;
	bool cure;             /* belongs to the cure */
	uint64_t at_ns;        /* when the call returned, since its part began */
	uint64_t took_ns;      /* how long it took */
	struct lab_text words; /* a title, a note or a statement */
	const char *source;    /* a witness's */
	char detail[LAB_DETAIL_MAX];
	long result;
	int error; /* errno where result < 0 */
	char tail[LAB_TAIL_MAX];
};

struct lab {
	const struct lab_experiment *experiment;
	struct lab_item items[LAB_ITEMS_MAX];
	size_t count;
	struct lab_item overflow; /* where the rest goes; `overflowed` makes the check fail */
	bool overflowed;
	bool quiet, curing;
	uint64_t part_ns;
	int outcome;                            /* -1: none */
	int prediction;                         /* -1: not asked */
	signed char sides[LAB_DESCRIPTORS_MAX]; /* -1: not ours */
	pid_t children[LAB_CHILDREN_MAX];
	/* Called at the end of each part and of the run; NULL: nobody watches. */
	void (*on_part)(struct lab *lab, void *context);
	void *context;
};

/* NULL: no memory. Free ends its children and closes its descriptors. */
struct lab *lab_new(const struct lab_experiment *experiment);
void lab_free(struct lab *lab);

/* Runs the experiment, or its cure. */
void lab_run(struct lab *lab);
void lab_run_cure(struct lab *lab);

/* The worst of all verdicts; LAB_FAILS where the record overflowed or no truth was stated. */
enum lab_verdict lab_verdict(const struct lab *lab);

enum lab_side lab_side_of(const struct lab *lab, int fd);
void lab_forget(struct lab *lab, int fd);

#endif
