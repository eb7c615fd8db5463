/* Four ways to write the same echo server: the tutorial's loop, and three that serve many. */
#ifndef LAB_SERVERS_H
#define LAB_SERVERS_H

enum lab_server { LAB_LOOP, LAB_PROCESSES, LAB_THREADS, LAB_EVENTS, LAB_SERVERS };

/* Serves whoever connects to the listening socket, until the process is killed. */
_Noreturn void lab_serve(enum lab_server kind, int listener);

#endif
