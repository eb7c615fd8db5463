/* The documented defaults of everything that a peer can make grow. */
#include "waybill/limits.h"

const struct wb_limits wb_limits_default = {
	.connections = 16384,
	.commands = 512,
	.command_bytes = 65536,
	.command_silence_ms = 20,
	.spool_memory_bytes = 65536,
	.output_bytes = UINT64_C(1) << 30,
	.spool_bytes = UINT64_C(4) << 30,
	.held_open_ms = 1000,
	.header_ms = 10000,
	.sessions = 4096,
	.jobs = 4096,
	.hold_ms = 60 * 1000,
	.hold_max_ms = 7 * 24 * 3600 * 1000,
	.transfers = 64,
	.put_bytes = UINT64_MAX,
	.put_files = UINT64_MAX,
};
