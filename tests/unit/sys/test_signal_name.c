/* Signals by name, both ways; and whose processes ours are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sys/account.h"
#include "sys/signal_name.h"

static void every_number_comes_back(void **state)
{
	char name[16];
	(void)state;

	for (int number = 1; number <= SIGRTMAX; number++) {
		wbi_signal_name(number, name, sizeof(name));
		if (name[0] >= '0' && name[0] <= '9')
			continue; /* none of ours: kept by the C library, or without a name */
		assert_int_equal(wbi_signal_number(name), number);
	}
}

static void names(void **state)
{
	char name[16];
	(void)state;

	assert_int_equal(wbi_signal_number("KILL"), SIGKILL);
	assert_int_equal(wbi_signal_number("WINCH"), SIGWINCH);
	assert_int_equal(wbi_signal_number("RTMIN+2"), SIGRTMIN + 2);
	wbi_signal_name(SIGRTMIN + 2, name, sizeof(name));
	assert_string_equal(name, "RTMIN+2");
	assert_int_equal(wbi_signal_number("SIGKILL"), 0);
	assert_int_equal(wbi_signal_number("kill"), 0);
	assert_int_equal(wbi_signal_number(""), 0);
	assert_int_equal(wbi_signal_number("RTMIN+"), 0);
	assert_int_equal(wbi_signal_number("RTMIN+-1"), 0);
	assert_int_equal(wbi_signal_number("RTMIN+99999999999999999999"), 0);
}

static void our_account(void **state)
{
	const struct wbi_account *account = wbi_account_own();
	const struct passwd *entry = getpwuid(geteuid());
	(void)state;

	assert_non_null(account);
	if (entry != NULL) {
		assert_string_equal(account->home, entry->pw_dir[0] ? entry->pw_dir : "/");
		assert_string_equal(strchr(account->variables[1], '=') + 1, entry->pw_name);
	}
	assert_int_equal(strncmp(account->variables[0], "HOME=/", 6), 0);
	assert_ptr_equal(account, wbi_account_own());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_comes_back),
		cmocka_unit_test(names),
		cmocka_unit_test(our_account),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
