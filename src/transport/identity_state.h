/* Inside an identity: for what makes OpenSSL's key of it. */
#ifndef WBI_IDENTITY_STATE_H
#define WBI_IDENTITY_STATE_H

#include "transport/identity.h"

struct wbi_identity {
	struct wbi_private_key key; /* of one in an agent: the public half only */
	char *agent_path;           /* NULL: the seed is here */
	int agent_timeout_ms;
};

#endif
