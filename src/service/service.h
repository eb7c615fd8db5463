/* Services: one file each, one table that names them. */
#ifndef WBI_SERVICE_H
#define WBI_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "conn/plain.h"
#include "job/audit.h"
#include "job/job.h"
#include "job/principal.h"
#include "sys/addr.h"
#include "sys/peer.h"
#include "waybill/limits.h"

/* What services stand on; one a worker. Caller-owned. */
struct wbi_service_env {
	struct wbi_plain_env plain;
	struct wbi_job_env jobs;
	struct wbi_audit audit;
	const struct wb_limits *limits;
	struct wbi_peer_finder
		*finder;   /* NULL: callers may be anywhere, and cannot be asked about */
	bool draining;     /* nothing new is begun */
	uint64_t accepted; /* plain connections, ever */
};

/* Whose connection a plain service gets, and which one it is in the log. */
struct wbi_plain_caller {
	uint64_t connection; /* from 1, in the order in which they came */
	struct wbi_principal who;
};

/* A datagram service on one socket; freed by its own close. */
struct wbi_datagram_service {
	void (*close)(struct wbi_datagram_service *service);
};

struct wbi_service {
	const char *name;
	enum wbi_transport transport;
	uint16_t default_port;
	/* tcp: takes over an accepted socket. On failure the caller still owns fd. */
	enum wb_err (*accept)(struct wbi_service_env *env, int fd,
			      const struct wbi_plain_caller *caller, struct wb_fault *fault);
	/* udp: takes over a bound socket. wildcard: it is bound to every address. */
	enum wb_err (*bind)(struct wbi_service_env *env, int fd, bool wildcard,
			    struct wbi_datagram_service **ret_service, struct wb_fault *fault);
};

/* The service of that name over that transport, or NULL. Static storage. */
const struct wbi_service *wbi_service_find(const char *name, enum wbi_transport transport);

/* "upper+tcp, upper+udp, …": for a message that says what there is. */
void wbi_service_list(char *out, size_t size);

enum wb_err wbi_upper_accept(struct wbi_service_env *env, int fd,
			     const struct wbi_plain_caller *caller, struct wb_fault *fault);
enum wb_err wbi_upper_bind(struct wbi_service_env *env, int fd, bool wildcard,
			   struct wbi_datagram_service **ret_service, struct wb_fault *fault);
enum wb_err wbi_exec_length_accept(struct wbi_service_env *env, int fd,
				   const struct wbi_plain_caller *caller, struct wb_fault *fault);
enum wb_err wbi_exec_header_accept(struct wbi_service_env *env, int fd,
				   const struct wbi_plain_caller *caller, struct wb_fault *fault);

#endif
