/* Identities: see identity.h. */
#include "transport/identity.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "transport/identity_state.h"

enum wb_err wbi_identity_new(const struct wbi_private_key *key, struct wbi_identity **ret_identity,
			     struct wb_fault *fault)
{
	struct wbi_identity *identity = calloc(1, sizeof(*identity));

	if (!identity)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "identity: no memory");
	identity->key = *key;
	*ret_identity = identity;
	return WB_OK;
}

enum wb_err wbi_identity_new_in_agent(const struct wbi_public_key *key, const char *path,
				      int timeout_ms, struct wbi_identity **ret_identity,
				      struct wb_fault *fault)
{
	struct wbi_identity *identity;

	if (path[0] == '\0' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "ssh-agent: '%s' can be no socket's path", path);
	identity = calloc(1, sizeof(*identity));
	if (!identity || !(identity->agent_path = strdup(path))) {
		free(identity);
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "identity: no memory");
	}
	identity->key.public_key = *key;
	identity->agent_timeout_ms = timeout_ms;
	*ret_identity = identity;
	return WB_OK;
}

void wbi_identity_free(struct wbi_identity *identity)
{
	if (!identity)
		return;
	wbi_private_key_done(&identity->key);
	free(identity->agent_path);
	free(identity);
}

const struct wbi_public_key *wbi_identity_key(const struct wbi_identity *identity)
{
	return &identity->key.public_key;
}
