/* Everything that a peer can make grow, with its documented default. */
#ifndef WAYBILL_LIMITS_H
#define WAYBILL_LIMITS_H

#include <stdint.h>

/* Passed to what it bounds; never global. Zero is a limit like any other, not "unlimited". */
struct wb_limits {
	uint32_t connections; /* of plain services, open at once, over all listeners of a daemon */
	uint32_t commands;    /* running at once */
	uint32_t command_bytes;      /* one plain command line */
	uint32_t command_silence_ms; /* from 1,024 bytes on: this much silence ends a command */
	uint32_t spool_memory_bytes; /* output of one stream of a command held in memory */
	uint64_t output_bytes;       /* output of one command, in memory and spooled */
	uint64_t spool_bytes;        /* spooled output of all commands together */
	uint32_t held_open_ms; /* silence after a command's end while someone holds its pipe */
	uint32_t header_ms;    /* a header that has begun must be complete within this */
	uint32_t sessions;     /* of a daemon */
	uint32_t jobs;         /* of a daemon: running, or ended and not collected */
	uint32_t hold_ms;      /* a session without a connection is kept this long */
	uint32_t hold_max_ms;  /* what a call may raise that to */
	uint32_t transfers;    /* puts and gets of a daemon at one time */
	uint64_t put_bytes;    /* that one put may bring: sizes of its files together */
	uint64_t put_files;    /* and how many files, folders and links */
};

/* The defaults: docs/PROTOCOL.md, "Limits". */
extern const struct wb_limits wb_limits_default;

#endif
