/* Who may do what: see policy.h. */
#include "job/policy.h"

enum wb_err wbi_policy_may_listen(const struct wbi_policy *policy, const struct wbi_addr *addr,
				  struct wb_fault *fault)
{
	if (policy->insecure_plain || wbi_addr_is_loopback(addr))
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "a plain service has no keys, so it listens on loopback only; "
			    "--insecure-plain lifts that for everybody who can reach the port");
}

enum wb_err wbi_policy_may_call(const struct wbi_policy *policy, int fd, struct wb_fault *fault)
{
	uid_t uid;
	enum wb_err err;

	if (policy->insecure_plain)
		return WB_OK;
	err = wbi_peer_of_tcp(policy->finder, fd, &uid, fault);
	if (err != WB_OK)
		return err;
	for (unsigned i = 0; i < policy->uid_count; i++)
		if (policy->uids[i] == uid)
			return WB_OK;
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "uid %lu opened the socket and is not among those who may call "
			    "(--allow-uid %lu would let it in)",
			    (unsigned long)uid, (unsigned long)uid);
}
