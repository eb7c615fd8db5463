/* A browser is not a caller: any web page can make one send bytes to a loopback port, and
 * "GET /;cmd;" is a valid shell line. Protocol: "A browser is not a caller". */
#ifndef WBI_BROWSER_H
#define WBI_BROWSER_H

#include <stddef.h>
#include <stdint.h>

/* Looks at what is about to be given to a shell. Returns NULL if it may be, or why not (static): it
 * holds a NUL (a TLS hello does; no shell line can), or its first line that is not empty ends in
 * HTTP/x.y. Blanks around a line do not count. */
const char *wbi_browser_check(const uint8_t *data, size_t bytes);

#endif
