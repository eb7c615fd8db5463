/* TCP_INFO: the kernel's own account of one connection. */
#ifndef LAB_TCP_INFO_H
#define LAB_TCP_INFO_H

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Fields that this kernel does not know stay 0. */
static inline struct tcp_info lab_tcp_info(int fd)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
		return (struct tcp_info){0};
	return info;
}

#endif
