/* Landlock by its three system calls: no library of the C kind knows them yet. */
#include "sys/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"

/* Rights that came after the first version; the header of an older system has no names for them. */
enum {
	ACCESS_REFER = 1 << 13,    /* version 2: link and move from folder to folder */
	ACCESS_TRUNCATE = 1 << 14, /* version 3 */
	ACCESS_IOCTL = 1 << 15,    /* version 5: on devices; never granted here */
};

enum {
	READS = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	/* Files, folders and links can be made; devices, sockets and pipes cannot. */
	WRITES = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
		 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
		 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM,
	FIRST_ALL = (1 << 13) - 1, /* every right of version 1 */
};

static int version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool wbi_landlock_exists(void)
{
	return version() > 0;
}

/* The rights that a kernel of this version knows: what is handled is refused unless granted. */
static uint64_t handled_by(int known_version)
{
	uint64_t handled = FIRST_ALL;

	if (known_version >= 2)
		handled |= ACCESS_REFER;
	if (known_version >= 3)
		handled |= ACCESS_TRUNCATE;
	if (known_version >= 5)
		handled |= ACCESS_IOCTL;
	return handled;
}

static bool restrict_self(int rules, int folder, uint64_t granted)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = granted,
						     .parent_fd = folder};

	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ==
		       0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

enum wb_err wbi_landlock_restrict(int folder, enum wbi_landlock_access access, bool *ret_done,
				  struct wb_fault *fault)
{
	int known_version = version();
	struct landlock_ruleset_attr attr = {0};
	uint64_t wanted = READS;
	enum wb_err err = WB_OK;

	if (known_version <= 0) {
		if (ret_done)
			*ret_done = false;
		return WB_OK;
	}
	if (access == WBI_LANDLOCK_WRITE)
		wanted |= WRITES | ACCESS_REFER | ACCESS_TRUNCATE;
	attr.handled_access_fs = handled_by(known_version);
	/* Only the first member: later ones are about the network and signals. */
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(uint64_t), 0);
	if (rules < 0 || !restrict_self(rules, folder, wanted & attr.handled_access_fs))
		err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "landlock: %m");
	wbi_fd_close(&rules);
	if (!err && ret_done)
		*ret_done = true;
	return err;
}
