/* What the tests of authorized_keys share: Alice, who always knocks, from where and when. */
#ifndef AUTHORIZED_FIXTURE_H
#define AUTHORIZED_FIXTURE_H

#include "fixtures.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../wire/guard.h"
#include "keys/authorized_keys.h"

#define ALICE ALICE_KEY " alice@example\n"
#define BOB   BOB_KEY " bob\n"

enum { NOW_S = 1788264000 }; /* 2026-09-01 12:00 UTC */

static const struct wbi_authorized_facts plain = {.address = "192.0.2.7", .now_s = NOW_S};
static const struct wbi_authorized_facts own = {
	.address = "192.0.2.7", .now_s = NOW_S, .own_file = true};

static inline enum wb_err find(const char *text, const struct wbi_authorized_facts *facts,
			       struct wbi_authorized *ret_authorized, struct wb_fault *fault)
{
	struct wbi_public_key alice = key_of(ALICE_KEY);

	return wbi_authorized_keys_find(guard_put(text, strlen(text)), strlen(text), &alice, facts,
					ret_authorized, fault);
}

/* Must get in; the caller frees. */
static inline struct wbi_authorized enter(const char *text,
					  const struct wbi_authorized_facts *facts)
{
	struct wbi_authorized authorized;
	struct wb_fault fault;

	if (find(text, facts, &authorized, &fault))
		fail_msg("%s\n%s", text, fault.text);
	return authorized;
}

static inline size_t line_of(const char *text, const struct wbi_authorized_facts *facts)
{
	struct wbi_authorized authorized = enter(text, facts);
	size_t line = authorized.line;

	wbi_authorized_done(&authorized);
	return line;
}

static inline void check_refused(const char *text, const struct wbi_authorized_facts *facts,
				 const char *field, const char *needle)
{
	struct wbi_authorized authorized;
	struct wb_fault fault;
	enum wb_err err = find(text, facts, &authorized, &fault);

	if (err != WB_ERR_REFUSED || fault.err != err || strcmp(fault.field, field) != 0 ||
	    !strstr(fault.text, needle))
		fail_msg("%s\nfield '%s': %s", text, fault.field, err ? fault.text : "let in");
	assert_int_equal(find(text, facts, &authorized, NULL), WB_ERR_REFUSED);
}

#endif
