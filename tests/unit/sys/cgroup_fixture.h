/* A cgroup for a test to divide: made in the one that we are in, and removed with all that is left
 * in it. Only root, or whoever was delegated that one, can make one. */
#ifndef CGROUP_FIXTURE_H
#define CGROUP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/cgroup.h"

enum { CGROUP_TEXT_MAX = WBI_CGROUP_PATH_MAX + 400 };

struct cgroup_fixture {
	char folder[WBI_CGROUP_PATH_MAX + 64];
	struct wbi_cgroup *cgroup;
};

/* False, with the reason told, where there is none to be had. */
static inline bool cgroup_begin(struct cgroup_fixture *fixture)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re"), *own = fopen("/proc/self/cgroup", "re");
	char ours[WBI_CGROUP_PATH_MAX] = "";
	struct wb_fault fault = {0};
	bool located;

	assert_non_null(mounts);
	assert_non_null(own);
	located = wbi_cgroup_locate(mounts, own, ours);
	fclose(mounts);
	fclose(own);
	snprintf(fixture->folder, sizeof(fixture->folder), "%s/waybilltest-XXXXXX", ours);
	if (!located || !mkdtemp(fixture->folder)) {
		print_message("SKIPPED: no cgroup (version 2) can be made here: %s\n",
			      located ? strerror(errno) : "none is mounted");
		return false;
	}
	if (wbi_cgroup_open(fixture->folder, &fixture->cgroup, &fault) == WB_OK)
		return true;
	print_message("SKIPPED: a cgroup cannot be divided here: %s\n", fault.text);
	(void)rmdir(fixture->folder);
	return false;
}

/* How many leaves there are. ret_name (may be NULL; 300 bytes): one of them. */
static inline unsigned count_leaves(const struct cgroup_fixture *fixture, char *ret_name)
{
	DIR *entries = opendir(fixture->folder);
	const struct dirent *entry;
	unsigned count = 0;

	assert_non_null(entries);
	while ((entry = readdir(entries)) != NULL) {
		if (strncmp(entry->d_name, "waybill-", 8) != 0)
			continue;
		count++;
		if (ret_name)
			snprintf(ret_name, 300, "%s", entry->d_name);
	}
	closedir(entries);
	return count;
}

static inline void write_file(int folder, const char *name, const char *text)
{
	int file = openat(folder, name, O_WRONLY | O_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
	close(file);
}

/* Nothing may be left; what a test that failed has left is ended and removed. */
static inline void cgroup_end(struct cgroup_fixture *fixture)
{
	unsigned left;
	int folder;

	wbi_cgroup_close(fixture->cgroup);
	fixture->cgroup = NULL;
	left = count_leaves(fixture, NULL);
	if (left > 0) {
		folder = open(fixture->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		write_file(folder, "cgroup.kill", "1");
		close(folder);
		if (wbi_cgroup_open(fixture->folder, &fixture->cgroup, NULL) == WB_OK)
			wbi_cgroup_close(fixture->cgroup);
	}
	assert_int_equal(rmdir(fixture->folder), 0);
	assert_int_equal(left, 0);
}

#endif
