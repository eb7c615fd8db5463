/* Patterns (ssh_config(5), "PATTERNS"): `*` is any number of characters, `?` is one, and a list of
 * them, separated by commas, may have some that begin with `!`. Upper and lower case (ASCII) are
 * the same. Linear in the text times the pattern. */
#ifndef WBI_PATTERN_H
#define WBI_PATTERN_H

#include <stdbool.h>

#include "base/slice.h"

bool wbi_pattern_match(struct wbi_slice pattern, struct wbi_slice text);

/* Takes one pattern from the front of a list and says whether it was negated; false at the end.
 * There is always one more than there are commas, though it may be empty. */
bool wbi_pattern_next(struct wbi_slice *list, struct wbi_slice *ret_pattern, bool *ret_negated);

/* Whether a pattern of the list matches and no negated one does. */
bool wbi_pattern_list_match(struct wbi_slice list, struct wbi_slice text);

#endif
