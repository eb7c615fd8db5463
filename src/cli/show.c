/* Showing replies: a chain of filters,
 *
 *     [encoding -> UTF-8] -> [escape] -> [UTF-8 -> terminal] -> writer
 *
 * of which each link is there only where it is needed. Escaping happens on UTF-8, since only there
 * it is known which bytes make a character. */
#include "cli/show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "cli/filter.h"
#include "cli/recode.h"
#include "sys/fd.h"

struct writer {
	struct wbi_filter filter;
	int fd;
	enum wb_err err; /* the first error; nothing is written after it */
	struct wb_fault fault;
	uint8_t last; /* the last byte written */
	size_t bytes; /* held in `buffer`, so that many small pieces make one write */
	uint8_t buffer[16384];
};

struct wbi_show {
	struct wbi_filter *first;
	struct wbi_recode decode, encode;
	struct wbi_escape escape;
	struct writer writer;
};

static void write_out(struct writer *writer, const uint8_t *data, size_t bytes)
{
	if (bytes == 0 || writer->err)
		return;
	writer->err = wbi_fd_write_all(writer->fd, data, bytes, &writer->fault);
	writer->last = data[bytes - 1];
}

static void writer_flush(struct writer *writer)
{
	write_out(writer, writer->buffer, writer->bytes);
	writer->bytes = 0;
}

static void writer_give(struct wbi_filter *filter, const void *data, size_t bytes)
{
	struct writer *writer = WBI_CONTAINER(filter, struct writer, filter);

	if (bytes > sizeof(writer->buffer) - writer->bytes)
		writer_flush(writer);
	if (bytes >= sizeof(writer->buffer)) {
		write_out(writer, data, bytes);
		return;
	}
	memcpy(writer->buffer + writer->bytes, data, bytes);
	writer->bytes += bytes;
}

static void writer_finish(struct wbi_filter *filter)
{
	(void)filter; /* nothing is ever held back here: see show_flush */
}

bool wbi_show_abandoned(const struct wbi_show *show)
{
	return show->writer.err && show->writer.fault.system_errno == EPIPE;
}

static enum wb_err show_flush(struct wbi_show *show, struct wb_fault *fault)
{
	struct writer *writer = &show->writer;

	writer_flush(writer);
	if (wbi_show_abandoned(show))
		return wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0, "stdout: nobody reads it");
	if (!writer->err)
		return WB_OK;
	errno = writer->fault.system_errno;
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "stdout: %m");
}

enum wb_err wbi_show_bytes(struct wbi_show *show, const void *data, size_t bytes,
			   struct wb_fault *fault)
{
	wbi_filter_give(show->first, data, bytes);
	return show_flush(show, fault);
}

enum wb_err wbi_show_end(struct wbi_show *show, const char *tail, struct wb_fault *fault)
{
	wbi_filter_finish(show->first);
	writer_give(&show->writer.filter, tail, strlen(tail));
	return show_flush(show, fault);
}

bool wbi_show_at_line_start(const struct wbi_show *show)
{
	return show->writer.last == '\n';
}

/* Builds the chain from its end to its beginning. */
static enum wb_err build(struct wbi_show *show, const struct wbi_show_options *options,
			 struct wb_fault *fault)
{
	const char *from = options->encoding ? options->encoding : options->charset;
	bool safe = isatty(options->fd) && !options->raw;
	bool decode = options->encoding || (safe && !wbi_charset_is_utf8(options->charset));
	enum wb_err err = WB_OK;

	show->writer.filter = (struct wbi_filter){writer_give, writer_finish, NULL};
	show->first = &show->writer.filter;
	if (decode && !wbi_charset_is_utf8(options->charset)) {
		err = wbi_recode_open(&show->encode, "UTF-8", options->charset, false, show->first,
				      fault);
		show->first = &show->encode.filter;
	}
	if (safe) {
		wbi_escape_init(&show->escape, show->first);
		show->first = &show->escape.filter;
	}
	if (decode && err == WB_OK) {
		err = wbi_recode_open(&show->decode, from, "UTF-8", false, show->first, fault);
		show->first = &show->decode.filter;
	}
	return err;
}

enum wb_err wbi_show_new(const struct wbi_show_options *options, struct wbi_show **ret_show,
			 struct wb_fault *fault)
{
	struct wbi_show *show = calloc(1, sizeof(*show));
	enum wb_err err;

	if (!show)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory");
	show->writer.fd = options->fd;
	show->writer.last = '\n';
	err = build(show, options, fault);
	if (err)
		wbi_show_free(show);
	else
		*ret_show = show;
	return err;
}

void wbi_show_free(struct wbi_show *show)
{
	if (!show)
		return;
	wbi_recode_done(&show->decode);
	wbi_recode_done(&show->encode);
	free(show);
}
