/* The table of parcels: who may send each, when, with what payload, and what then happens. */
#include <string.h>

#include "session/engine.h"

#define FIELDS(...) ((const char *const[]){"op", "total_size", "crit", __VA_ARGS__, NULL})

enum {
	CLIENT = 1 << WBI_CLIENT,
	SERVER = 1 << WBI_SERVER,
	BOTH = CLIENT | SERVER,
	FRESH = 1 << WBI_CARRIER_FRESH,
	GREETING = 1 << WBI_CARRIER_GREETING,
	SYNCING = 1 << WBI_CARRIER_SYNCING,
	LIVE = 1 << WBI_CARRIER_LIVE,
	KNOWN = SYNCING | LIVE,
	TOLD = GREETING | KNOWN,
};

static const struct wbi_op ops[] = {
	{"data", BOTH, LIVE, WBI_PAYLOAD_CHUNK, wbi_receive_data,
	 FIELDS("id", "stream", "offset", "full")},
	{"credit", BOTH, LIVE, WBI_PAYLOAD_NONE, wbi_receive_credit,
	 FIELDS("id", "stream", "offset", "limit")},
	{"open", CLIENT, LIVE, WBI_PAYLOAD_OPEN, wbi_receive_open,
	 FIELDS("id", "service", "key", "up", "down", "undigested", "window")},
	{"opened", SERVER, LIVE, WBI_PAYLOAD_NONE, wbi_receive_opened,
	 FIELDS("id", "from", "window")},
	{"eof", BOTH, LIVE, WBI_PAYLOAD_NONE, wbi_receive_eof,
	 FIELDS("id", "stream", "from", "offset", "digest", "held_open")},
	{"exit", SERVER, LIVE, WBI_PAYLOAD_NONE, wbi_receive_exit,
	 FIELDS("id", "outcome", "code", "signal", "core", "error", "text", "bytes", "rusage")},
	{"forget", CLIENT, LIVE, WBI_PAYLOAD_NONE, wbi_receive_forget, FIELDS("id")},
	{"reset", BOTH, LIVE, WBI_PAYLOAD_NONE, wbi_receive_reset, FIELDS("id", "stream")},
	{"signal", CLIENT, LIVE, WBI_PAYLOAD_NONE, wbi_receive_signal, FIELDS("id", "n", "name")},
	{"resize", CLIENT, LIVE, WBI_PAYLOAD_NONE, wbi_receive_resize,
	 FIELDS("id", "rows", "cols")},
	{"cancel", CLIENT, LIVE, WBI_PAYLOAD_NONE, wbi_receive_cancel, FIELDS("id")},
	{"gone", SERVER, LIVE, WBI_PAYLOAD_NONE, wbi_receive_gone, FIELDS("id")},
	{"ping", BOTH, KNOWN, WBI_PAYLOAD_NONE, wbi_receive_ping, FIELDS("n")},
	{"pong", BOTH, KNOWN, WBI_PAYLOAD_NONE, wbi_receive_pong, FIELDS("n")},
	{"have", SERVER, KNOWN, WBI_PAYLOAD_NONE, wbi_receive_have,
	 FIELDS("id", "stream", "offset", "signal")},
	{"have", CLIENT, SYNCING, WBI_PAYLOAD_NONE, wbi_receive_have,
	 FIELDS("id", "stream", "offset")},
	{"synced", BOTH, SYNCING, WBI_PAYLOAD_NONE, wbi_receive_synced, FIELDS("op")},
	{"suspend", CLIENT, LIVE, WBI_PAYLOAD_NONE, wbi_receive_suspend, FIELDS("op")},
	{"hello", CLIENT, FRESH, WBI_PAYLOAD_NONE, wbi_receive_hello,
	 FIELDS("waybill", "agent", "session", "secret", "epoch", "user", "limits", "digests")},
	{"welcome", SERVER, GREETING, WBI_PAYLOAD_NONE, wbi_receive_welcome,
	 FIELDS("waybill", "agent", "instance", "resumed", "born", "limits", "services", "digest",
		"hold_ms")},
	{"bye", BOTH, TOLD, WBI_PAYLOAD_NONE, wbi_receive_bye, FIELDS("op")},
	{"error", BOTH, TOLD, WBI_PAYLOAD_NONE, wbi_receive_error,
	 FIELDS("code", "text", "field", "offset", "retry")},
	{"unsupported", BOTH, KNOWN, WBI_PAYLOAD_NONE, wbi_receive_ignored, FIELDS("what")},
};

enum { OP_COUNT = sizeof(ops) / sizeof(ops[0]), KNOWN_FIELDS_MAX = 64 };

static const struct wbi_op *find(const char *name, unsigned sender, bool *ret_named)
{
	*ret_named = false;
	for (unsigned i = 0; i < OP_COUNT; i++) {
		if (strcmp(ops[i].name, name) != 0)
			continue;
		*ret_named = true;
		if (ops[i].senders & sender)
			return &ops[i];
	}
	return NULL;
}

/* What an `open` insists on, the services may know. */
static enum wb_err check_crit(const struct wbi_carrier *carrier, const struct wb_header *header,
			      const struct wbi_op *op, struct wb_fault *fault)
{
	const char *known[KNOWN_FIELDS_MAX + 1];
	const char *const *more = NULL;
	unsigned count = 0;

	if (!wb_header_find(header, "crit"))
		return WB_OK;
	if (op->payload == WBI_PAYLOAD_OPEN)
		more = carrier->session->config.open_fields;
	for (unsigned i = 0; op->fields[i] && count < KNOWN_FIELDS_MAX; i++)
		known[count++] = op->fields[i];
	for (unsigned i = 0; more && more[i] && count < KNOWN_FIELDS_MAX; i++)
		known[count++] = more[i];
	known[count] = NULL;
	return wb_parcel_check_crit(header, known, fault);
}

static enum wb_err check_payload(const struct wbi_carrier *carrier, enum wbi_payload payload,
				 uint64_t bytes, struct wb_fault *fault)
{
	uint64_t most = payload == WBI_PAYLOAD_NONE   ? 0
			: payload == WBI_PAYLOAD_OPEN ? carrier->limits.open_bytes
						      : carrier->limits.chunk_bytes;

	if (bytes <= most)
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_LIMIT, "total_size", 0,
			    "total_size: %llu bytes, %llu are allowed here",
			    (unsigned long long)bytes, (unsigned long long)most);
}

static enum wb_err skip_unknown(struct wbi_carrier *carrier, const char *name,
				uint64_t payload_bytes, struct wb_fault *fault)
{
	if (!(1u << carrier->state & KNOWN))
		return wb_fault_set(fault, WB_ERR_MALFORMED, "op", 0,
				    "op: not a parcel that may come first");
	if (!carrier->unsupported[0]) {
		memcpy(carrier->unsupported, name, strlen(name) + 1);
		carrier->due |= WBI_DUE_UNSUPPORTED;
	}
	return check_payload(carrier, WBI_PAYLOAD_CHUNK, payload_bytes, fault);
}

enum wb_err wbi_op_find(struct wbi_carrier *carrier, const struct wb_header *header,
			uint64_t payload_bytes, const struct wbi_op **ret_op,
			struct wb_fault *fault)
{
	unsigned sender = carrier->role == WBI_CLIENT ? SERVER : CLIENT;
	char name[WBI_CODE_MAX];
	const struct wbi_op *op;
	bool named;
	enum wb_err err = wb_header_get_text(header, "op", name, sizeof(name), NULL, fault);

	*ret_op = NULL;
	if (err)
		return err;
	op = find(name, sender, &named);
	if (!named)
		return skip_unknown(carrier, name, payload_bytes, fault);
	if (!op || !(op->states & 1u << carrier->state))
		return wb_fault_set(fault, WB_ERR_MALFORMED, "op", 0,
				    "%s: not allowed here and now", name);
	err = check_payload(carrier, op->payload, payload_bytes, fault);
	if (!err)
		err = check_crit(carrier, header, op, fault);
	if (!err)
		*ret_op = op;
	return err;
}
