/* The text view: what a person reads, fitted to the terminal. */
#include "lab/view.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lab/text.h"

enum { TIME_COLUMNS = 9, GUTTER_COLUMNS = 3 };

/* Stands for a space at which a cell must not be broken. */
#define NO_BREAK "\x1f"

static const char BOLD[] = "\033[1m", DIM[] = "\033[2m", GREEN[] = "\033[32m", RED[] = "\033[31m",
		  YELLOW[] = "\033[33m", CYAN[] = "\033[36m", PLAIN[] = "\033[0m";

const char *lab_say(const struct lab_view *view, struct lab_text text)
{
	return view->language == LAB_ZH ? text.zh : text.en;
}

static const char *locale_name(const char *category)
{
	const char *names[] = {"LC_ALL", category, "LANG"};

	for (size_t i = 0; i < 3; i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return value;
	}
	return "C";
}

enum lab_language lab_locale_language(void)
{
	return strncmp(locale_name("LC_MESSAGES"), "zh", 2) == 0 ? LAB_ZH : LAB_EN;
}

bool lab_locale_utf8(void)
{
	const char *name = locale_name("LC_CTYPE");

	return strcasestr(name, "UTF-8") || strcasestr(name, "utf8");
}

static void put_coloured(const struct lab_view *view, const char *colour, const char *text,
			 size_t bytes)
{
	if (view->colour)
		fputs(colour, view->out);
	for (size_t i = 0; i < bytes; i++)
		fputc(view->plain && (unsigned char)text[i] >= 0x80 ? '?' : text[i], view->out);
	if (view->colour)
		fputs(PLAIN, view->out);
}

static void put_spaces(const struct lab_view *view, unsigned count)
{
	fprintf(view->out, "%*s", (int)count, "");
}

/* Prints text in lines that start with `indent` spaces; the first line's are already there if
 * `hanging`. */
static void put_wrapped(const struct lab_view *view, unsigned indent, bool hanging,
			const char *colour, const char *text)
{
	unsigned room = view->columns > indent + 10 ? view->columns - indent : 10;

	while (*text) {
		size_t bytes = lab_line_bytes(text, room), shown = bytes;

		while (shown > 0 && text[shown - 1] == ' ')
			shown--;
		if (!hanging)
			put_spaces(view, indent);
		hanging = false;
		put_coloured(view, colour, text, shown);
		fputc('\n', view->out);
		text += bytes;
		text += *text == '\n' ? 1 : strspn(text, " ");
	}
}

/* Prints text that begins in column `used`; what does not fit goes on, indented. Only a terminal
 * needs that: for a pipe it stays one line. */
static void put_hanging(const struct lab_view *view, unsigned used, unsigned indent,
			const char *text)
{
	size_t bytes = strlen(text);

	if (view->terminal && used + lab_columns(text) > view->columns)
		bytes = lab_line_bytes(text, view->columns - used);
	put_coloured(view, "", text, bytes);
	fputc('\n', view->out);
	put_wrapped(view, indent, false, "", text + bytes + strspn(text + bytes, " "));
}

static void put_rule(const struct lab_view *view)
{
	for (unsigned i = 0; i < view->columns; i++)
		fputs(view->plain ? "-" : "─", view->out);
	fputc('\n', view->out);
}

static void put_heading(const struct lab_view *view, struct lab_text heading)
{
	const char *text = lab_say(view, heading);

	fputc('\n', view->out);
	put_coloured(view, BOLD, text, strlen(text));
	fputc('\n', view->out);
}

static void put_labelled(const struct lab_view *view, struct lab_text label, struct lab_text text)
{
	const char *name = lab_say(view, label);
	unsigned columns = lab_columns(name);

	put_coloured(view, DIM, name, strlen(name));
	put_spaces(view, columns < 10 ? 10 - columns : 1);
	put_wrapped(view, 10, true, "", lab_say(view, text));
}

void lab_show_list(const struct lab_view *view)
{
	for (size_t i = 0; lab_experiments[i]; i++) {
		put_coloured(view, BOLD, lab_experiments[i]->name,
			     strlen(lab_experiments[i]->name));
		put_spaces(view, 16 - (unsigned)strlen(lab_experiments[i]->name));
		put_wrapped(view, 16, true, "", lab_say(view, lab_experiments[i]->title));
	}
}

void lab_show_head(const struct lab_view *view, const struct lab_experiment *experiment)
{
	put_rule(view);
	put_coloured(view, BOLD, experiment->name, strlen(experiment->name));
	fputs("  ", view->out);
	put_wrapped(view, (unsigned)strlen(experiment->name) + 2, true, BOLD,
		    lab_say(view, experiment->title));
	put_rule(view);
	put_labelled(view, LAB_TEXT("Claim", "常见说法"), experiment->claim);
	put_labelled(view, LAB_TEXT("Question", "问题"), experiment->question);
	for (int i = 0; i < LAB_CHOICES_MAX && experiment->choices[i].en; i++) {
		fprintf(view->out, "       %d  ", i + 1);
		put_wrapped(view, 10, true, "", lab_say(view, experiment->choices[i]));
	}
}

static void format_call(const struct lab_item *item, char *out, size_t size)
{
	const char *error = item->error ? lab_error_name(item->error) : NULL;
	char took[24] = "";

	if (item->took_ns >= 1000000)
		snprintf(took, sizeof(took), " [%.1f" NO_BREAK "ms]", (double)item->took_ns / 1e6);
	snprintf(out, size, "%s =" NO_BREAK "%ld%s%s%s%s%s", item->detail, item->result,
		 error ? NO_BREAK : "", error ? error : "", item->tail[0] ? " " : "", item->tail,
		 took);
}

/* One row of the timeline, in as many lines as its cell needs. */
static void put_row(const struct lab_view *view, const char *time, enum lab_side side,
		    const char *cell)
{
	unsigned room = (view->columns - TIME_COLUMNS - GUTTER_COLUMNS) / 2;
	const char *bar = view->plain ? "|" : "│";

	do {
		size_t bytes = lab_line_bytes(cell, room);
		unsigned indent = side == LAB_CLIENT ? 0 : room;
		size_t shown = bytes;
		char line[LAB_DETAIL_MAX + LAB_TAIL_MAX + 48];

		while (shown > 0 && cell[shown - 1] == ' ')
			shown--;
		snprintf(line, sizeof(line), "%.*s", (int)shown, cell);
		for (char *at = line; (at = strchr(at, NO_BREAK[0])) != NULL;)
			*at = ' ';
		put_coloured(view, DIM, time, strlen(time));
		put_spaces(view, TIME_COLUMNS - (unsigned)strlen(time));
		put_spaces(view, indent);
		if (side == LAB_CLIENT) {
			put_coloured(view, CYAN, line, strlen(line));
			put_spaces(view, room - lab_columns(line));
		}
		fprintf(view->out, " %s", bar);
		if (side != LAB_CLIENT) {
			fputc(' ', view->out);
			put_coloured(view, GREEN, line, strlen(line));
		}
		fputc('\n', view->out);
		cell += bytes;
		cell += strspn(cell, " ");
		time = "";
	} while (*cell);
}

static void put_time(const struct lab_item *item, char out[TIME_COLUMNS + 1])
{
	snprintf(out, TIME_COLUMNS + 1, "%8.3f", (double)item->at_ns / 1e6);
}

static void put_timeline_head(const struct lab_view *view)
{
	unsigned room = (view->columns - TIME_COLUMNS - GUTTER_COLUMNS) / 2;
	const char *client = lab_say(view, LAB_TEXT("client", "客户端"));
	const char *server = lab_say(view, LAB_TEXT("server", "服务器"));
	char line[256];

	snprintf(line, sizeof(line), "%8s %s%*s %s %s", "ms", client,
		 (int)(room - lab_columns(client)), "", view->plain ? "|" : "│", server);
	put_coloured(view, DIM, line, strlen(line));
	fputc('\n', view->out);
}

static void put_part(const struct lab_view *view, const struct lab_item *item, bool has_calls)
{
	fputc('\n', view->out);
	put_wrapped(view, 0, true, BOLD, lab_say(view, item->words));
	if (has_calls)
		put_timeline_head(view);
}

static void put_note(const struct lab_view *view, const struct lab_item *item)
{
	static const char wide_colon[] = "：";
	const char *words = lab_say(view, item->words);
	size_t bytes = strlen(words), colon = strlen(wide_colon);
	bool spaced = bytes < colon || strcmp(words + bytes - colon, wide_colon) != 0;
	char time[TIME_COLUMNS + 1], line[512];

	put_time(item, time);
	put_coloured(view, DIM, time, strlen(time));
	fputc(' ', view->out);
	snprintf(line, sizeof(line), "%s %s%s%s", view->plain ? "-" : "·", words,
		 item->detail[0] && spaced ? " " : "", item->detail);
	put_wrapped(view, TIME_COLUMNS, true, YELLOW, line);
}

static void put_witness(const struct lab_view *view, const struct lab_item *item)
{
	unsigned columns = (unsigned)strlen(item->source);

	put_spaces(view, 2);
	put_coloured(view, DIM, item->source, columns);
	put_spaces(view, columns < 18 ? 18 - columns : 1);
	put_wrapped(view, 20, true, "", item->detail);
}

static const char *verdict_colour(enum lab_verdict verdict)
{
	return verdict == LAB_HOLDS ? GREEN : verdict == LAB_FAILS ? RED : YELLOW;
}

static const char *verdict_word(const struct lab_view *view, enum lab_verdict verdict)
{
	static const struct lab_text words[] = {
		[LAB_HOLDS] = {"ok", "成立"},
		[LAB_VARIES] = {"differs here", "此处不同"},
		[LAB_FAILS] = {"FAILS", "不成立"},
		[LAB_SKIPPED] = {"skipped", "跳过"},
	};

	return lab_say(view, words[verdict]);
}

static void put_truth(const struct lab_view *view, const struct lab_item *item)
{
	const char *word = verdict_word(view, item->verdict);
	char line[512];

	put_spaces(view, 2);
	put_coloured(view, verdict_colour(item->verdict), word, strlen(word));
	fputc(' ', view->out);
	snprintf(line, sizeof(line), "%s (%s)", lab_say(view, item->words), item->detail);
	put_wrapped(view, 3 + lab_columns(word), true, "", line);
}

static void put_item(const struct lab_view *view, const struct lab_item *item, bool has_calls)
{
	char time[TIME_COLUMNS + 1], cell[LAB_DETAIL_MAX + LAB_TAIL_MAX + 48];

	switch (item->kind) {
	case LAB_ITEM_PART:
		put_part(view, item, has_calls);
		break;
	case LAB_ITEM_CALL:
		put_time(item, time);
		format_call(item, cell, sizeof(cell));
		put_row(view, time, item->side, cell);
		break;
	case LAB_ITEM_NOTE:
		put_note(view, item);
		break;
	case LAB_ITEM_WITNESS:
		put_witness(view, item);
		break;
	case LAB_ITEM_TRUTH:
		put_truth(view, item);
		break;
	}
}

/* Whether the part that begins at `index` has a timeline. */
static bool part_has_calls(const struct lab *lab, size_t index)
{
	for (size_t i = index + 1; i < lab->count && lab->items[i].kind != LAB_ITEM_PART; i++)
		if (lab->items[i].kind == LAB_ITEM_CALL)
			return true;
	return false;
}

void lab_show_pending(struct lab_view *view, const struct lab *lab)
{
	for (; view->shown < lab->count; view->shown++)
		put_item(view, &lab->items[view->shown], part_has_calls(lab, view->shown));
	fflush(view->out);
}

void lab_show_outcome(const struct lab_view *view, const struct lab *lab)
{
	const struct lab_text *choices = lab->experiment->choices;
	char line[512];

	put_heading(view, LAB_TEXT("What happened", "实测结果"));
	if (lab->outcome < 0 || lab->outcome >= LAB_CHOICES_MAX || !choices[lab->outcome].en) {
		put_wrapped(view, 2, false, YELLOW,
			    lab_say(view, LAB_TEXT("None of the choices; see the figures above.",
						   "以上选项都不是，请看上面的数字。")));
		return;
	}
	snprintf(line, sizeof(line), "%d  %s", lab->outcome + 1,
		 lab_say(view, choices[lab->outcome]));
	put_wrapped(view, 2, false, "", line);
	if (lab->prediction < 0)
		return;
	snprintf(line, sizeof(line),
		 lab_say(view, LAB_TEXT("You predicted %d: %s", "你的预测是 %d：%s")),
		 lab->prediction + 1,
		 lab->prediction == lab->outcome
			 ? lab_say(view, LAB_TEXT("so it was.", "猜对了。"))
			 : lab_say(view, LAB_TEXT("it came otherwise.", "实测并非如此。")));
	put_wrapped(view, 2, false, lab->prediction == lab->outcome ? GREEN : YELLOW, line);
}

void lab_show_why(const struct lab_view *view, const struct lab_experiment *experiment)
{
	put_heading(view, LAB_TEXT("Why", "为什么"));
	put_wrapped(view, 2, false, "", lab_say(view, experiment->why));
	for (size_t i = 0; i < LAB_SOURCES_MAX && experiment->sources[i]; i++)
		put_wrapped(view, 4, false, DIM, experiment->sources[i]);
}

void lab_show_cure_head(const struct lab_view *view, const struct lab_experiment *experiment)
{
	fputc('\n', view->out);
	put_coloured(view, BOLD, lab_say(view, LAB_TEXT("Cure: ", "解法：")),
		     view->language == LAB_ZH ? strlen("解法：") : strlen("Cure: "));
	put_wrapped(view, 6, true, BOLD, lab_say(view, experiment->cure_title));
}

void lab_show_end(const struct lab_view *view, const struct lab_experiment *experiment)
{
	char line[128];

	snprintf(line, sizeof(line), "waybill lab %s --code | --python", experiment->name);
	put_heading(view, LAB_TEXT("The fewest lines that show it", "最短的程序"));
	put_wrapped(view, 2, false, "", line);
}

/* One line for each; on a narrow terminal, what is too long goes on below, indented. */
void lab_show_truths(const struct lab_view *view, const struct lab *lab)
{
	const char *colon = view->language == LAB_ZH ? "：" : ": ";

	for (size_t i = 0; i < lab->count; i++) {
		const struct lab_item *item = &lab->items[i];
		const char *word = verdict_word(view, item->verdict);
		const char *after = item->verdict == LAB_HOLDS ? " " : colon;
		char line[512];

		if (item->kind != LAB_ITEM_TRUTH)
			continue;
		put_coloured(view, verdict_colour(item->verdict), word, strlen(word));
		put_coloured(view, "", after, strlen(after));
		snprintf(line, sizeof(line), "%s%s%s (%s)", lab->experiment->name, colon,
			 lab_say(view, item->words), item->detail);
		put_hanging(view, lab_columns(word) + lab_columns(after), 4, line);
	}
	fflush(view->out);
}
