/* Random bytes from the kernel. */
#ifndef WBI_RAND_H
#define WBI_RAND_H

#include <stddef.h>

#include "waybill/err.h"

/* Fills `bytes` (<= 256) at `out`. Returns WB_OK or WB_ERR_SYSTEM. Source: getrandom(2). */
WB_WARN_UNUSED enum wb_err wbi_rand_fill(void *out, size_t bytes, struct wb_fault *fault);

#endif
