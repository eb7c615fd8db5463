/* The lab: what an experiment may use.
 *
 * An experiment performs real system calls through the lab_* wrappers. Each performs the call,
 * records what the kernel answered and when, and leaves errno as the call left it. Nothing is
 * printed while it runs, so that the terminal never disturbs the clock.
 *
 * Descriptors opened through the lab close with the experiment; children end with it. */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Every sentence stands beside its translation, so that neither language can lack one. */
struct lab_text {
	const char *en, *zh;
};
#define LAB_TEXT(en_, zh_) ((struct lab_text){(en_), (zh_)})

enum lab_side { LAB_CLIENT, LAB_SERVER, LAB_KERNEL };

enum lab_verdict {
	LAB_HOLDS,
	LAB_VARIES, /* another known way for a kernel to behave: said, not an error */
	LAB_FAILS,
	LAB_SKIPPED, /* this machine or user cannot show it: said, not an error */
};

enum { LAB_CHOICES_MAX = 4, LAB_SOURCES_MAX = 6 };

struct lab;

/* One experiment: a row of the table in table.c. */
struct lab_experiment {
	const char *name;
	struct lab_text title; /* at most 58 columns, for the list */
	struct lab_text claim; /* what is commonly said */
	struct lab_text question;
	struct lab_text choices[LAB_CHOICES_MAX]; /* to predict from; the rest are {NULL, NULL} */
	struct lab_text why;                      /* paragraphs end in \n */
	const char *sources[LAB_SOURCES_MAX];     /* man pages, RFCs, kernel documents */
	void (*run)(struct lab *lab);
	struct lab_text cure_title;
	void (*cure)(struct lab *lab);
};

extern const struct lab_experiment *const lab_experiments[]; /* ends with NULL */
const struct lab_experiment *lab_find(const char *name);

/* Recording. */

/* Begins a part: a title, and a timeline whose clock starts at 0. */
void lab_part(struct lab *lab, struct lab_text title);

/* Sets the part's clock back to 0, for the one round of many that is shown. */
void lab_restart_clock(struct lab *lab);

/* Records a call that was made by other means than the wrappers. began_ns: lab_now_ns() before it.
 * result < 0: errno names the error. tail: what came with it, or "". */
void lab_call(struct lab *lab, enum lab_side side, uint64_t began_ns, long result, const char *tail,
	      const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Puts a remark into the timeline; the detail is neutral (numbers, names). */
void lab_note(struct lab *lab, struct lab_text words, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without a detail. */
void lab_remark(struct lab *lab, struct lab_text words);

/* Records what the kernel itself says. source: "TCP_INFO", "sock_diag", "/proc/net/netstat", … */
void lab_witness(struct lab *lab, const char *source, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* States a truth and whether it held here; the format gives the measured value. A statement is at
 * most 56 columns wide in either language: --check prints one line for each. */
void lab_truth(struct lab *lab, enum lab_verdict verdict, struct lab_text statement,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));
static inline enum lab_verdict lab_if(bool holds)
{
	return holds ? LAB_HOLDS : LAB_FAILS;
}

/* For statements about TIME_WAIT: a kernel that holds tcp_max_tw_buckets of them already keeps no
 * more (counter TcpExt TCPTimeWaitOverflow, as it was before), and then they vary. */
enum lab_verdict lab_if_time_wait(bool holds, uint64_t overflows_before);

/* Says that something could not be set up (errno tells why): the check fails. Returns false. */
bool lab_trouble(struct lab *lab, const char *what);

/* Which of the choices the measurement bore out, from 0. */
void lab_outcome(struct lab *lab, int choice);

/* While quiet, calls are performed but not recorded: for rounds beyond the one that is shown. */
void lab_quiet(struct lab *lab, bool quiet);

/* Whether to apply the cure of that name. Always true, unless WAYBILL_LAB_BREAK names it: so tests
 * see that --check notices a cure that was left out. */
bool lab_cure(const char *name);

const char *lab_error_name(int error); /* "EAGAIN"; "0" for 0; never NULL */

uint64_t lab_now_ns(void);
double lab_ms_since(uint64_t began_ns);
double lab_median(double *values, size_t count); /* sorts them */

/* System calls: as the call of that name, on loopback, recorded. Port 0 lets the kernel choose. */

int lab_socket(struct lab *lab, enum lab_side side, int type); /* type: SOCK_STREAM, … */
int lab_bind(struct lab *lab, int fd, uint16_t port);
int lab_listen(struct lab *lab, int fd, int backlog);
int lab_connect(struct lab *lab, int fd, uint16_t port);
int lab_accept(struct lab *lab, int fd);
int lab_shutdown(struct lab *lab, int fd, int how);
void lab_close(struct lab *lab, int fd);
ssize_t lab_send(struct lab *lab, int fd, const void *data, size_t bytes, int flags);
ssize_t lab_recv(struct lab *lab, int fd, void *buffer, size_t bytes, int flags);
ssize_t lab_sendto(struct lab *lab, int fd, const void *data, size_t bytes, uint16_t port);
ssize_t lab_recvfrom(struct lab *lab, int fd, void *buffer, size_t bytes, int flags,
		     uint16_t *ret_port);
int lab_option(struct lab *lab, int fd, int level, int option, int value, const char *name);
#define LAB_OPTION(lab, fd, level, option, value)                                                  \
	lab_option((lab), (fd), (level), (option), (value), #option)

/* Helpers that record nothing. */

uint16_t lab_port(int fd);      /* its own */
uint16_t lab_peer_port(int fd); /* the other end's */
void lab_nonblocking(int fd, bool on);
int lab_get_option(int fd, int level, int option);

/* Puts a descriptor opened elsewhere under the lab's care; returns it. */
int lab_keep(struct lab *lab, enum lab_side side, int fd);

/* Whether 127.0.0.1 can be reached: an empty network namespace's loopback is down. errno if not. */
bool lab_loopback_works(void);

/* Waits, at most timeout_ms, until fd is readable (for a stream: holds `bytes`); says whether. */
bool lab_wait_readable(int fd, size_t bytes, int timeout_ms);
bool lab_wait_writable(int fd, int timeout_ms);

/* A listener, and a connection through it. False: lab_trouble has been told. */
struct lab_pair {
	int listener, client, server;
};
int lab_listener(struct lab *lab, int backlog);
bool lab_tcp_pair(struct lab *lab, struct lab_pair *ret_pair);

/* A receiver bound to a port of its own (server) and a sender (client). */
struct lab_udp {
	int sender, receiver;
	uint16_t port;
};
bool lab_udp_pair(struct lab *lab, struct lab_udp *ret_udp);

/* A child process that ends with the experiment. In the child it returns 0. */
pid_t lab_fork(struct lab *lab);
/* Ends it (signal may be 0: wait only) and returns its wait status. */
int lab_reap(struct lab *lab, pid_t pid, int signal);

/* Witnesses. */

enum lab_tcp_state {
	LAB_TCP_ESTABLISHED = 1,
	LAB_TCP_SYN_SENT,
	LAB_TCP_SYN_RECV,
	LAB_TCP_FIN_WAIT1,
	LAB_TCP_FIN_WAIT2,
	LAB_TCP_TIME_WAIT,
	LAB_TCP_CLOSE,
	LAB_TCP_CLOSE_WAIT,
	LAB_TCP_LAST_ACK,
	LAB_TCP_LISTEN,
	LAB_TCP_CLOSING,
};
const char *lab_tcp_state_name(unsigned state);

struct lab_row {
	unsigned state;
	uint16_t local_port, peer_port;
	uint32_t recv_queue, send_queue; /* of a listener: waiting for accept, and the backlog */
	unsigned timer, timer_ms;
};

/* Asks sock_diag for the TCP sockets whose local port is that, and whose peer's is that (0: any).
 * Fills at most `room` rows and returns how many there are, or -1. */
int lab_diag(uint16_t local_port, uint16_t peer_port, struct lab_row *rows, int room);
/* How many of them are in that state; -1: the kernel could not be asked. */
int lab_diag_count(uint16_t local_port, unsigned state);
/* The one row, recorded as a witness under that label; state is 0 where there is none. */
struct lab_row lab_witness_row(struct lab *lab, const char *label, uint16_t local_port,
			       uint16_t peer_port);

/* A counter of /proc/net/netstat or /proc/net/snmp, such as "TcpExt", "ListenOverflows"; 0 where
 * the kernel has none. lab_witness_counter records before -> after and returns the difference. */
uint64_t lab_counter(const char *group, const char *name);
uint64_t lab_witness_counter(struct lab *lab, const char *group, const char *name, uint64_t before);

/* A number of /proc/sys (its first), or -1. lab_witness_setting records it as well. */
long lab_setting(const char *path);
long lab_witness_setting(struct lab *lab, const char *path);

/* What /proc/net/udp says was dropped at the socket bound to that port; -1: not found. */
long lab_udp_drops(uint16_t port);

#endif
