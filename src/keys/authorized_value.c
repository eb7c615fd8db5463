/* What stands between the quotes of three options. */
#include "keys/authorized_value.h"

#include <string.h>
#include <strings.h>

/* --- times --- */

/* Exactly `count` digits from the front. */
static bool take_digits(const char **at, int count, int least, int most, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if ((*at)[i] < '0' || (*at)[i] > '9')
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += count;
	*ret_value = value;
	return value >= least && value <= most;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date of the Gregorian calendar, year >= 1. */
static int64_t days_since_1970(int year, int month, int day)
{
	int64_t before = year - 1;
	int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;

	for (int i = 1; i < month; i++)
		days += days_in(year, i);
	return days + day - 1;
}

bool wbi_authorized_time(const char *text, int32_t utc_offset_s, int64_t *ret_time_s)
{
	size_t digits = strspn(text, "0123456789");
	const char *at = text, *zone = text + digits;
	bool utc = !strcasecmp(zone, "Z") || !strcasecmp(zone, "UTC");
	int year, month, day, hour = 0, minute = 0, second = 0;

	if ((*zone && !utc) || (digits != 8 && digits != 12 && digits != 14))
		return false;
	if (!take_digits(&at, 4, 1, 9999, &year) || !take_digits(&at, 2, 1, 12, &month) ||
	    !take_digits(&at, 2, 1, days_in(year, month), &day))
		return false;
	if (digits >= 12 &&
	    (!take_digits(&at, 2, 0, 23, &hour) || !take_digits(&at, 2, 0, 59, &minute)))
		return false;
	if (digits == 14 && !take_digits(&at, 2, 0, 59, &second))
		return false;
	*ret_time_s = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 +
		      second - (utc ? 0 : utc_offset_s);
	return true;
}

/* --- environment --- */

size_t wbi_authorized_name_bytes(const char *text)
{
	size_t bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_");

	return text[bytes] == '=' ? bytes : 0;
}

/* --- permissions --- */

/* Ends the entry at its comma, in place, and takes away each backslash that keeps the character
 * behind it from meaning anything. Returns the next entry, NULL behind the last one. */
static char *end_entry(char *entry)
{
	char *to = entry;

	for (char *at = entry; *at; at++) {
		if (*at == ',') {
			*to = '\0';
			return at + 1;
		}
		if (*at == '\\' && at[1])
			at++;
		*to++ = *at;
	}
	*to = '\0';
	return NULL;
}

static const char *permit_files(const char *root, struct wbi_authorized_files *files)
{
	if (files->allowed)
		return "the same direction twice";
	if (root && root[0] != '/')
		return "a path that does not begin with /";
	files->allowed = true;
	files->root = root;
	return NULL;
}

static const char *permit_flag(bool *flag)
{
	if (*flag)
		return "the same word twice";
	*flag = true;
	return NULL;
}

static const char *permit_entry(const char *entry, struct wbi_authorized *allowed)
{
	if (!strcmp(entry, "exec"))
		return permit_flag(&allowed->exec);
	if (!strcmp(entry, "jobs"))
		return permit_flag(&allowed->jobs);
	if (!strcmp(entry, "put"))
		return permit_files(NULL, &allowed->put);
	if (!strcmp(entry, "get"))
		return permit_files(NULL, &allowed->get);
	if (!strncmp(entry, "put:", 4))
		return permit_files(entry + 4, &allowed->put);
	if (!strncmp(entry, "get:", 4))
		return permit_files(entry + 4, &allowed->get);
	return "only exec, jobs, put, get, put:/path and get:/path can be permitted";
}

const char *wbi_authorized_permit(char *text, struct wbi_authorized *allowed)
{
	const char *wrong = NULL;
	char *next;

	allowed->exec = allowed->jobs = false;
	allowed->put = allowed->get = (struct wbi_authorized_files){false, NULL};
	for (char *entry = *text ? text : NULL; entry && !wrong; entry = next) {
		next = end_entry(entry);
		wrong = permit_entry(entry, allowed);
	}
	return wrong;
}
