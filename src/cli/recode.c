/* Character sets by iconv. What cannot be converted is shown, not lost: as \xNN. */
#include "cli/recode.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"

enum { OUT_BYTES = 4096 };

bool wbi_charset_is_utf8(const char *charset)
{
	return strcasecmp(charset, "UTF-8") == 0 || strcasecmp(charset, "UTF8") == 0;
}

const char *wbi_charset_init(void)
{
	const char *charset;

	setlocale(LC_CTYPE, "");
	charset = nl_langinfo(CODESET);
	if (strcmp(charset, "ANSI_X3.4-1968") != 0)
		return charset;
	setlocale(LC_CTYPE, "C.UTF-8");
	return "UTF-8";
}

/* Runs iconv over the input until it is used up or something stops it; returns the errno. */
static int convert(struct wbi_recode *encode, char **text, size_t *bytes)
{
	for (;;) {
		char out[OUT_BYTES];
		char *end = out;
		size_t room = sizeof(out);
		size_t result = iconv(encode->iconv, text, bytes, &end, &room);
		int why = result == (size_t)-1 ? errno : 0;

		wbi_filter_give(encode->filter.next, out, sizeof(out) - room);
		if (why != E2BIG)
			return why;
	}
}

static void refuse_byte(struct wbi_recode *encode, char byte)
{
	char shown[8];

	if (encode->strict) {
		encode->bad = true;
		return;
	}
	snprintf(shown, sizeof(shown), "\\x%02X", (unsigned char)byte);
	wbi_filter_give(encode->filter.next, shown, strlen(shown));
}

/* Converts as much of `text` as can be; returns how many bytes were used. What is left is the
 * beginning of a character. */
static size_t use(struct wbi_recode *encode, char *text, size_t bytes)
{
	size_t left = bytes;

	while (left > 0 && !encode->bad) {
		if (convert(encode, &text, &left) != EILSEQ)
			break;
		refuse_byte(encode, *text);
		text++;
		left--;
	}
	return bytes - left;
}

static void drop_held(struct wbi_recode *encode, size_t bytes)
{
	encode->held_bytes -= bytes;
	memmove(encode->held, encode->held + bytes, encode->held_bytes);
}

/* Adds one byte to the held beginning of a character, and converts what that completes. */
static void extend_held(struct wbi_recode *encode, char byte)
{
	if (encode->held_bytes == sizeof(encode->held)) { /* no character is that long */
		refuse_byte(encode, encode->held[0]);
		drop_held(encode, 1);
	}
	encode->held[encode->held_bytes++] = byte;
	drop_held(encode, use(encode, encode->held, encode->held_bytes));
}

static void encode_give(struct wbi_filter *filter, const void *data, size_t bytes)
{
	struct wbi_recode *encode = WBI_CONTAINER(filter, struct wbi_recode, filter);
	char *text = (char *)data; /* iconv's prototype is older than const; it does not write */

	while (bytes > 0 && !encode->bad) {
		size_t used = encode->held_bytes == 0 ? use(encode, text, bytes) : 0;

		if (used == 0) {
			extend_held(encode, *text);
			used = 1;
		}
		text += used;
		bytes -= used;
	}
}

static void encode_finish(struct wbi_filter *filter)
{
	struct wbi_recode *encode = WBI_CONTAINER(filter, struct wbi_recode, filter);

	for (size_t i = 0; i < encode->held_bytes; i++)
		refuse_byte(encode, encode->held[i]);
	encode->held_bytes = 0;
	convert(encode, NULL, NULL); /* back to the initial shift state */
	wbi_filter_finish(encode->filter.next);
}

void wbi_recode_begin(struct wbi_recode *encode)
{
	encode->held_bytes = 0;
	encode->bad = false;
	iconv(encode->iconv, NULL, NULL, NULL, NULL);
}

enum wb_err wbi_recode_open(struct wbi_recode *encode, const char *from, const char *to,
			    bool strict, struct wbi_filter *next, struct wb_fault *fault)
{
	*encode =
		(struct wbi_recode){.filter = {encode_give, encode_finish, next}, .strict = strict};
	encode->iconv = iconv_open(to, from);
	encode->open = encode->iconv != (iconv_t)-1;
	if (encode->open)
		return WB_OK;
	if (errno != EINVAL)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "iconv_open: %m");
	return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "no conversion from %s to %s", from,
			    to);
}

void wbi_recode_done(struct wbi_recode *encode)
{
	if (encode->open)
		iconv_close(encode->iconv);
	encode->open = false;
}
