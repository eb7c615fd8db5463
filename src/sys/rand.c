/* Random bytes: see rand.h. */
#include "sys/rand.h"

#include <sys/random.h>

enum wb_err wbi_rand_fill(void *out, size_t bytes, struct wb_fault *fault)
{
	if (getrandom(out, bytes, 0) != (ssize_t)bytes)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "no random bytes: %m");
	return WB_OK;
}
