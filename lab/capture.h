/* Raw capture of TCP segments on loopback, where the user may (CAP_NET_RAW). */
#ifndef LAB_CAPTURE_H
#define LAB_CAPTURE_H

#include "lab/lab.h"

struct lab_segment {
	enum lab_side from; /* the server is the side whose port was given */
	uint64_t at_ns;
	bool syn, ack, fin, rst;
	unsigned data_bytes;
};

/* Begins to listen to connections of that server port; -1 with errno (EPERM: not allowed). The
 * descriptor is the lab's. The kernel filters, so that other traffic cannot crowd it out. */
int lab_capture_open(struct lab *lab, uint16_t server_port);

/* Takes what has been captured so far, at most `room`. */
unsigned lab_capture_read(int fd, uint16_t server_port, struct lab_segment *segments,
			  unsigned room);

#endif
