/* The table of services. */
#include "service/service.h"

#include <stdio.h>
#include <string.h>

static const struct wbi_service services[] = {
	{"upper", WBI_TCP, 8080, wbi_upper_accept, NULL},
	{"upper", WBI_UDP, 8092, NULL, wbi_upper_bind},
	{"exec-length", WBI_TCP, 8085, wbi_exec_length_accept, NULL},
	{"exec-header", WBI_TCP, 8086, wbi_exec_header_accept, NULL},
};

enum { SERVICE_COUNT = sizeof(services) / sizeof(services[0]) };

const struct wbi_service *wbi_service_find(const char *name, enum wbi_transport transport)
{
	for (unsigned i = 0; i < SERVICE_COUNT; i++)
		if (services[i].transport == transport && strcmp(services[i].name, name) == 0)
			return &services[i];
	return NULL;
}

void wbi_service_list(char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < SERVICE_COUNT && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s+%s", i > 0 ? ", " : "",
				       services[i].name,
				       services[i].transport == WBI_UDP ? "udp" : "tcp");
}
