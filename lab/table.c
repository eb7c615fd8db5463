/* The table of experiments, in the order of the tutorial. */
#include <string.h>

#include "lab/lab.h"

extern const struct lab_experiment lab_exp_sticky;
extern const struct lab_experiment lab_exp_partial_write;
extern const struct lab_experiment lab_exp_nagle;
extern const struct lab_experiment lab_exp_backlog;
extern const struct lab_experiment lab_exp_reuseaddr;
extern const struct lab_experiment lab_exp_close;
extern const struct lab_experiment lab_exp_handshake;
extern const struct lab_experiment lab_exp_one_at_a_time;
extern const struct lab_experiment lab_exp_dead_peer;
extern const struct lab_experiment lab_exp_udp_boundary;
extern const struct lab_experiment lab_exp_udp_truncate;
extern const struct lab_experiment lab_exp_udp_size;
extern const struct lab_experiment lab_exp_udp_loss;
extern const struct lab_experiment lab_exp_udp_concurrent;
extern const struct lab_experiment lab_exp_byte_order;
extern const struct lab_experiment lab_exp_encoding;

const struct lab_experiment *const lab_experiments[] = {
	&lab_exp_sticky,
	&lab_exp_partial_write,
	&lab_exp_nagle,
	&lab_exp_backlog,
	&lab_exp_reuseaddr,
	&lab_exp_close,
	&lab_exp_handshake,
	&lab_exp_one_at_a_time,
	&lab_exp_dead_peer,
	&lab_exp_udp_boundary,
	&lab_exp_udp_truncate,
	&lab_exp_udp_size,
	&lab_exp_udp_loss,
	&lab_exp_udp_concurrent,
	&lab_exp_byte_order,
	&lab_exp_encoding,
	NULL,
};

const struct lab_experiment *lab_find(const char *name)
{
	for (size_t i = 0; lab_experiments[i]; i++)
		if (strcmp(lab_experiments[i]->name, name) == 0)
			return lab_experiments[i];
	return NULL;
}
