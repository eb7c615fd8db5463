/* Where our own cgroup is, from what the kernel's two files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sys/cgroup.h"

static const char *locate(const char *mounts, const char *own)
{
	static char folder[WBI_CGROUP_PATH_MAX];
	FILE *mount_file = fmemopen((void *)mounts, strlen(mounts), "r");
	FILE *own_file = fmemopen((void *)own, strlen(own), "r");
	bool found = wbi_cgroup_locate(mount_file, own_file, folder);

	fclose(mount_file);
	fclose(own_file);
	return found ? folder : "none";
}

static void where_ours_is(void **state)
{
	const char *whole = "25 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
			    "29 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
	const char *hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
			     "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
	const char *part = "29 25 0:26 /box/a /sys/fs/cgroup ro master:1 - cgroup2 cgroup rw\n";
	(void)state;

	assert_string_equal(locate(whole, "0::/user.slice/a.scope\n"),
			    "/sys/fs/cgroup/user.slice/a.scope");
	assert_string_equal(locate(whole, "0::/\n"), "/sys/fs/cgroup");
	assert_string_equal(locate(hybrid, "4:memory:/x\n0::/y\n"), "/sys/fs/cgroup/unified/y");
	assert_string_equal(locate(part, "0::/box/a\n"), "/sys/fs/cgroup");
	assert_string_equal(locate(part, "0::/box/a/b c\n"), "/sys/fs/cgroup/b c");
	assert_string_equal(locate(part, "0::/box/ab\n"), "none");
	assert_string_equal(locate(part, "0::/box\n"), "none");
	assert_string_equal(locate("1 2 0:1 / /a\\040b\\134c rw - cgroup2 x rw\n", "0::/d\n"),
			    "/a b\\c/d");
}

static void where_it_is_not(void **state)
{
	const char *mount = "29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
	char deep[WBI_CGROUP_PATH_MAX + 8] = "0::/";
	(void)state;

	assert_string_equal(locate(mount, "4:memory:/x\n"), "none"); /* version 1 alone */
	assert_string_equal(locate(mount, "0::/../beyond\n"), "none");
	assert_string_equal(locate("32 31 0:29 / /c rw - cgroup cgroup rw\n", "0::/\n"), "none");
	assert_string_equal(locate("29 25 0:26 / /short\n29\n\n", "0::/\n"), "none");
	memset(deep + 4, 'a', sizeof(deep) - 5);
	assert_string_equal(locate(mount, deep), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_ours_is),
		cmocka_unit_test(where_it_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
