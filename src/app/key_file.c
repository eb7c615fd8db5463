/* Key files: see key_file.h. */
#include "app/key_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/guarded.h"
#include "sys/rand.h"

enum { PUBLIC_MODE = 0644, PRIVATE_MODE = 0600, SHOWN_MAX = 80 };

/* The file's name in front of what the reader of its bytes had to say. */
static enum wb_err name_file(const char *path, struct wb_fault *fault)
{
	char shown[SHOWN_MAX], text[WB_FAULT_TEXT_MAX];

	if (!fault)
		return WB_OK;
	wbi_text_escape_message(path, shown, sizeof(shown));
	memcpy(text, fault->text, sizeof(text));
	return wb_fault_set(fault, fault->err, NULL, 0, "%s: %s", shown, text);
}

static enum wb_err parse(const struct wbi_guarded *text, struct wbi_key_file *file,
			 struct wb_fault *fault)
{
	struct wb_fault other;
	enum wb_err err = wbi_private_key_parse(text->data, text->bytes, &file->key, fault);

	if (!err)
		return WB_OK;
	file->needs_agent = true;
	if (err == WB_ERR_REFUSED)
		return wbi_private_key_peek_public(text->data, text->bytes, &file->key.public_key,
						   fault);
	if (err != WB_ERR_MALFORMED)
		return err;
	switch (wbi_public_key_parse(text->data, text->bytes, &file->key.public_key, NULL,
				     &other)) {
	case WB_OK:
		return WB_OK;
	case WB_ERR_UNSUPPORTED: /* a public key, but of another kind: that says more */
		*fault = other;
		return other.err;
	default:
		return err;
	}
}

/* A public key may be read by everybody. */
static bool is_public(const char *path)
{
	size_t bytes = strlen(path);

	return bytes > 4 && strcmp(path + bytes - 4, ".pub") == 0;
}

enum wb_err wbi_key_file_read(const char *path, struct wbi_key_file *ret_file,
			      struct wb_fault *fault)
{
	struct wb_fault here;
	struct wbi_key_file file = {0};
	struct wbi_guarded text;
	enum wb_err err =
		wbi_guarded_read(path, is_public(path) ? WBI_GUARD_WRITING : WBI_GUARD_READING,
				 geteuid(), &text, &here);

	if (!err) {
		err = parse(&text, &file, &here);
		wbi_guarded_done(&text);
		if (err)
			name_file(path, &here);
	}
	if (!err)
		*ret_file = file;
	else if (fault)
		*fault = here;
	wbi_private_key_done(&file.key);
	return err;
}

static enum wb_err write_pair(const char *path, const struct wbi_private_key *key,
			      struct wb_fault *fault)
{
	char text[WBI_PRIVATE_KEY_TEXT_SIZE], name[WBI_PUBLIC_KEY_TEXT_SIZE];
	char line[WBI_PUBLIC_KEY_TEXT_SIZE + WBI_PRIVATE_KEY_COMMENT_MAX + 2], beside[PATH_MAX];
	uint32_t check = 0;
	enum wb_err err = wbi_rand_fill(&check, sizeof(check), fault);
	int bytes;

	if (err)
		return err;
	if (snprintf(beside, sizeof(beside), "%s.pub", path) >= (int)sizeof(beside))
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "the file's name is too long");
	size_t length = wbi_private_key_format(key, check, text);
	err = wbi_guarded_create(path, PRIVATE_MODE, text, length, fault);
	explicit_bzero(text, sizeof(text));
	wbi_public_key_text(&key->public_key, name);
	bytes = snprintf(line, sizeof(line), "%s%s%.*s\n", name, key->comment_bytes ? " " : "",
			 (int)key->comment_bytes, (const char *)key->comment);
	if (err)
		return err;
	err = wbi_guarded_create(beside, PUBLIC_MODE, line, (size_t)bytes, fault);
	if (err)
		unlink(path);
	return err;
}

enum wb_err wbi_key_pair_create(const char *path, const char *comment,
				struct wbi_public_key *ret_key, struct wb_fault *fault)
{
	uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES];
	struct wbi_private_key key;
	enum wb_err err = wbi_rand_fill(seed, sizeof(seed), fault);

	if (err)
		return err;
	err = wbi_private_key_from_seed(seed, comment, strlen(comment), &key, fault);
	explicit_bzero(seed, sizeof(seed));
	if (err)
		return err;
	err = write_pair(path, &key, fault);
	*ret_key = key.public_key;
	wbi_private_key_done(&key);
	return err;
}
