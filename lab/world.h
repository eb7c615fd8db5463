/* Two machines and a cable, for what loopback cannot show: two network namespaces and a veth pair.
 * Needs CAP_SYS_ADMIN and CAP_NET_ADMIN; vanishes with its last descriptor. */
#ifndef LAB_WORLD_H
#define LAB_WORLD_H

#include <netinet/in.h>

#include "lab/lab.h"

enum { LAB_WORLD_MTU = 1500 };

struct lab_world {
	int home;    /* the namespace that the process came from */
	int ends[2]; /* LAB_CLIENT, LAB_SERVER */
};

/* Builds it. False with errno: EPERM where the user may not. The process is back home after. */
bool lab_world_open(struct lab_world *ret_world);
void lab_world_close(struct lab_world *world);

/* A socket at that end, kept by the lab; -1 with errno. */
int lab_world_socket(struct lab *lab, const struct lab_world *world, enum lab_side end, int type);
struct sockaddr_in lab_world_address(enum lab_side end, uint16_t port);

/* The server vanishes: it loses its address and so its routes, and what is sent to it goes nowhere.
 * The client's own link stays up, as it does when a cable is pulled behind a switch. (Taking the
 * veth down would not do: the client's kernel would notice that its own carrier is gone.) */
bool lab_world_vanish(const struct lab_world *world);

/* A counter, as lab_counter, of the client's end. */
uint64_t lab_world_counter(const struct lab_world *world, const char *group, const char *name);

#endif
