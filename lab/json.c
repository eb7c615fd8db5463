/* The JSON view: everything that the text view shows, in one object on one line. */
#include <inttypes.h>
#include <string.h>

#include "lab/view.h"

/* The library's header writer is for waybills, which are small; this one streams. */
struct writer {
	FILE *out;
	bool comma;
};

static void put_quoted(struct writer *writer, const char *text)
{
	fputc('"', writer->out);
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			fprintf(writer->out, "\\%c", byte);
		else if (byte < 0x20)
			fprintf(writer->out, "\\u%04x", byte);
		else
			fputc(byte, writer->out);
	}
	fputc('"', writer->out);
}

/* Begins a value; within an array `name` is NULL. */
static void begin(struct writer *writer, const char *name)
{
	if (writer->comma)
		fputc(',', writer->out);
	writer->comma = true;
	if (name)
		fprintf(writer->out, "\"%s\":", name);
}

static void put_string(struct writer *writer, const char *name, const char *text)
{
	begin(writer, name);
	put_quoted(writer, text);
}

static void put_integer(struct writer *writer, const char *name, int64_t value)
{
	begin(writer, name);
	fprintf(writer->out, "%" PRId64, value);
}

static void put_bool(struct writer *writer, const char *name, bool value)
{
	begin(writer, name);
	fputs(value ? "true" : "false", writer->out);
}

static void open_with(struct writer *writer, const char *name, char bracket)
{
	begin(writer, name);
	fputc(bracket, writer->out);
	writer->comma = false;
}

static void close_with(struct writer *writer, char bracket)
{
	fputc(bracket, writer->out);
	writer->comma = true;
}

static const char *const kind_names[] = {
	[LAB_ITEM_PART] = "part",       [LAB_ITEM_CALL] = "call",   [LAB_ITEM_NOTE] = "note",
	[LAB_ITEM_WITNESS] = "witness", [LAB_ITEM_TRUTH] = "truth",
};
static const char *const side_names[] = {
	[LAB_CLIENT] = "client",
	[LAB_SERVER] = "server",
	[LAB_KERNEL] = "kernel",
};
static const char *const verdict_names[] = {
	[LAB_HOLDS] = "ok",
	[LAB_VARIES] = "differs",
	[LAB_FAILS] = "fails",
	[LAB_SKIPPED] = "skipped",
};

static void put_call(struct writer *writer, const struct lab_item *item)
{
	put_string(writer, "side", side_names[item->side]);
	put_integer(writer, "took_ns", (int64_t)item->took_ns);
	put_string(writer, "call", item->detail);
	if (item->result >= 0)
		put_integer(writer, "result", item->result);
	else
		put_string(writer, "error", lab_error_name(item->error));
	if (item->tail[0])
		put_string(writer, "data", item->tail);
}

static void put_item(struct writer *writer, const struct lab_view *view,
		     const struct lab_item *item)
{
	open_with(writer, NULL, '{');
	put_string(writer, "kind", kind_names[item->kind]);
	put_bool(writer, "cure", item->cure);
	if (item->words.en)
		put_string(writer, item->kind == LAB_ITEM_PART ? "title" : "text",
			   lab_say(view, item->words));
	if (item->kind == LAB_ITEM_CALL || item->kind == LAB_ITEM_NOTE)
		put_integer(writer, "at_ns", (int64_t)item->at_ns);
	if (item->kind == LAB_ITEM_CALL)
		put_call(writer, item);
	else if (item->detail[0])
		put_string(writer, "measured", item->detail);
	if (item->source)
		put_string(writer, "source", item->source);
	if (item->kind == LAB_ITEM_TRUTH)
		put_string(writer, "verdict", verdict_names[item->verdict]);
	close_with(writer, '}');
}

static void put_experiment(struct writer *writer, const struct lab_view *view,
			   const struct lab_experiment *experiment)
{
	put_string(writer, "name", experiment->name);
	put_string(writer, "language", view->language == LAB_ZH ? "zh" : "en");
	put_string(writer, "title", lab_say(view, experiment->title));
	put_string(writer, "claim", lab_say(view, experiment->claim));
	put_string(writer, "question", lab_say(view, experiment->question));
	open_with(writer, "choices", '[');
	for (int i = 0; i < LAB_CHOICES_MAX && experiment->choices[i].en; i++)
		put_string(writer, NULL, lab_say(view, experiment->choices[i]));
	close_with(writer, ']');
	put_string(writer, "why", lab_say(view, experiment->why));
	open_with(writer, "sources", '[');
	for (int i = 0; i < LAB_SOURCES_MAX && experiment->sources[i]; i++)
		put_string(writer, NULL, experiment->sources[i]);
	close_with(writer, ']');
	put_string(writer, "cure", lab_say(view, experiment->cure_title));
	put_string(writer, "code_c", lab_code(experiment, LAB_CODE_C));
	put_string(writer, "code_python", lab_code(experiment, LAB_CODE_PYTHON));
}

static bool finish(struct writer *writer)
{
	fputs("}\n", writer->out);
	return fflush(writer->out) == 0 && !ferror(writer->out);
}

static struct writer start(const struct lab_view *view)
{
	fputc('{', view->out);
	return (struct writer){.out = view->out};
}

bool lab_json(const struct lab_view *view, const struct lab *lab)
{
	struct writer writer = start(view);

	put_experiment(&writer, view, lab->experiment);
	open_with(&writer, "run", '[');
	for (size_t i = 0; i < lab->count; i++)
		put_item(&writer, view, &lab->items[i]);
	close_with(&writer, ']');
	if (lab->outcome >= 0) /* counted from 1, as on the terminal */
		put_integer(&writer, "outcome", lab->outcome + 1);
	put_string(&writer, "verdict", verdict_names[lab_verdict(lab)]);
	return finish(&writer);
}

bool lab_json_list(const struct lab_view *view)
{
	struct writer writer = start(view);

	open_with(&writer, "experiments", '[');
	for (size_t i = 0; lab_experiments[i]; i++) {
		open_with(&writer, NULL, '{');
		put_string(&writer, "name", lab_experiments[i]->name);
		put_string(&writer, "title", lab_say(view, lab_experiments[i]->title));
		close_with(&writer, '}');
	}
	close_with(&writer, ']');
	return finish(&writer);
}
