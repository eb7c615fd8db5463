/* The `open` of put and get: see files_request.h. */
#include "service/files_request.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The fields that are true or false. Absent means `false` of the record. */
static const struct {
	const char *name;
	size_t offset;
	bool inverted; /* on the wire it is the opposite, and absent means true */
} flags[] = {
	{"recursive", offsetof(struct wbi_files_request, recursive), false},
	{"into", offsetof(struct wbi_files_request, into), false},
	{"update", offsetof(struct wbi_files_request, update), false},
	{"delete", offsetof(struct wbi_files_request, delete), false},
	{"owner", offsetof(struct wbi_files_request, owner), false},
	{"compress", offsetof(struct wbi_files_request, compress), false},
	{"fsync", offsetof(struct wbi_files_request, unsynced), true},
	{"delta", offsetof(struct wbi_files_request, whole), true},
};

enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static bool *flag_of(struct wbi_files_request *request, unsigned i)
{
	return (bool *)(void *)((char *)request + flags[i].offset);
}

/* ---- writing ---- */

static unsigned count_of(const char *const *strings)
{
	unsigned count = 0;

	while (strings && strings[count])
		count++;
	return count;
}

void wbi_files_request_put(struct wb_header_writer *writer, void *context)
{
	struct wbi_files_request *request = context;

	wb_header_put_integer(writer, "paths", count_of(request->paths));
	wb_header_put_integer(writer, "excludes", count_of(request->excludes));
	wb_header_put_string(writer, "digest", wb_digest_name(request->digest));
	for (unsigned i = 0; i < FLAG_COUNT; i++)
		if (*flag_of(request, i))
			wb_header_put_bool(writer, flags[i].name, !flags[i].inverted);
}

void wbi_files_request_critical(const struct wbi_files_request *request,
				const char *names[WBI_FILES_CRITICAL_MAX])
{
	struct wbi_files_request copy = *request;
	unsigned count = 0;

	names[count++] = "paths";
	names[count++] = "excludes";
	names[count++] = "digest";
	for (unsigned i = 0; i < FLAG_COUNT; i++)
		if (*flag_of(&copy, i))
			names[count++] = flags[i].name;
	names[count] = NULL;
}

enum wb_err wbi_files_request_payload(const struct wbi_files_request *request,
				      struct wbi_buf *payload)
{
	enum wb_err err = WB_OK;

	for (const char **path = request->paths; path && *path && !err; path++)
		err = wbi_buf_append(payload, *path, strlen(*path) + 1);
	for (const char **exclude = request->excludes; exclude && *exclude && !err; exclude++)
		err = wbi_buf_append(payload, *exclude, strlen(*exclude) + 1);
	return err;
}

/* ---- reading ---- */

struct counts {
	uint64_t paths, excludes;
};

static enum wb_err read_digest(struct wbi_files_request *request, const struct wb_header *header,
			       struct wb_fault *fault)
{
	char name[16];
	enum wb_err err;

	request->digest = WB_DIGEST_XXH128;
	if (!wb_header_find(header, "digest"))
		return WB_OK;
	err = wb_header_get_text(header, "digest", name, sizeof(name), NULL, fault);
	if (!err && !wb_digest_by_name(name, &request->digest))
		err = wb_fault_set(fault, WB_ERR_UNSUPPORTED, "digest", 0,
				   "digest: there is no %s here", name);
	return err;
}

static enum wb_err read_fields(struct wbi_files_request *request, const struct wb_header *header,
			       struct counts *counts, struct wb_fault *fault)
{
	enum wb_err err = wb_header_get_integer(header, "paths", &counts->paths, fault);

	if (!err && wb_header_find(header, "excludes"))
		err = wb_header_get_integer(header, "excludes", &counts->excludes, fault);
	if (!err)
		err = read_digest(request, header, fault);
	for (unsigned i = 0; i < FLAG_COUNT && !err; i++) {
		bool value;

		if (!wb_header_find(header, flags[i].name))
			continue;
		err = wb_header_get_bool(header, flags[i].name, &value, fault);
		if (!err)
			*flag_of(request, i) = value != flags[i].inverted;
	}
	return err;
}

/* What the counts say must agree with what is there, before memory is taken for it. */
static enum wb_err check_counts(const struct counts *counts, struct wbi_slice payload,
				struct wb_fault *fault)
{
	const uint8_t *at = payload.data, *end = payload.data + payload.bytes;
	uint64_t strings = 0;

	for (; at < end && (at = memchr(at, '\0', (size_t)(end - at))) != NULL; at++)
		strings++;
	if (payload.bytes == 0 || end[-1] != '\0' || counts->paths > strings ||
	    counts->paths == 0 || counts->excludes != strings - counts->paths)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "paths", 0,
				    "paths, excludes: not what the payload holds");
	if (strings > WBI_FILES_STRINGS_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, "paths", 0, "paths: more than %d",
				    WBI_FILES_STRINGS_MAX);
	return WB_OK;
}

static const char **fill(const char **array, uint64_t count, const char **next)
{
	for (uint64_t i = 0; i < count; i++) {
		array[i] = *next;
		*next += strlen(*next) + 1;
	}
	array[count] = NULL;
	return array;
}

enum wb_err wbi_files_request_read(struct wbi_files_request *ret_request,
				   const struct wb_header *header, struct wbi_slice payload,
				   struct wb_fault *fault)
{
	struct counts counts = {0};
	const char *next;
	enum wb_err err;

	*ret_request = (struct wbi_files_request){0};
	err = read_fields(ret_request, header, &counts, fault);
	if (!err)
		err = check_counts(&counts, payload, fault);
	if (err)
		return err;
	ret_request->strings = malloc(payload.bytes);
	ret_request->paths =
		calloc(counts.paths + counts.excludes + 2, sizeof(ret_request->paths[0]));
	if (!ret_request->strings || !ret_request->paths)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for the paths");
	memcpy(ret_request->strings, payload.data, payload.bytes);
	next = ret_request->strings;
	fill(ret_request->paths, counts.paths, &next);
	ret_request->excludes = fill(ret_request->paths + counts.paths + 1, counts.excludes, &next);
	return WB_OK;
}

void wbi_files_request_done(struct wbi_files_request *request)
{
	free(request->paths);
	free(request->strings);
	request->paths = request->excludes = NULL;
	request->strings = NULL;
}
