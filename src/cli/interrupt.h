/* ^C: at the prompt it drops the line, anywhere else it ends the program with exit code 130. */
#ifndef WBI_INTERRUPT_H
#define WBI_INTERRUPT_H

#include <stdbool.h>

/* From now on ^C ends the program at once. Call before threads start. */
void wbi_interrupt_init(void);

/* Between these two ^C is only noted. Safe to repeat. */
void wbi_interrupt_begin_prompt(void);
void wbi_interrupt_end_prompt(void);

/* Waits, at the prompt, until `fd` can be read. Returns false when another signal came instead, or
 * ^C has been seen since the prompt began. No ^C is missed between a look and a wait. */
bool wbi_interrupt_wait(int fd);

/* Whether ^C has been seen since the prompt began. */
bool wbi_interrupt_seen(void);

#endif
