/* Files that decide who may come in: see guarded.h. */
#include "sys/guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/guarded_open.h"

enum { FOLDER_MODE = 0700 };

/* ---- what the file itself is ---- */

/* With whom root shares a file is root's to say: a group of daemons, or us alone by an access list,
 * whose mask stands in the group's place. */
static mode_t private_bits(const struct stat *status)
{
	return status->st_uid == 0 ? S_IRWXO : S_IRWXG | S_IRWXO;
}

static enum wb_err check_file(const char *path, const struct stat *status, enum wbi_guard guard,
			      uid_t owner, struct wb_fault *fault)
{
	if (!S_ISREG(status->st_mode))
		return wbi_guard_refuse(path, "not a regular file", fault);
	if (!wbi_guard_trusts(status, owner))
		return wbi_guard_refuse(path, "the file belongs to another user", fault);
	if (wbi_guard_is_open(status))
		return wbi_guard_refuse(path, "others can write to it (chmod go-w)", fault);
	if (guard == WBI_GUARD_READING && status->st_mode & private_bits(status))
		return wbi_guard_refuse(path, "a private key that others can read (chmod 600)",
					fault);
	return WB_OK;
}

/* ---- reading ---- */

static enum wb_err read_whole(int fd, const char *path, size_t bytes, struct wbi_guarded *file,
			      struct wb_fault *fault)
{
	size_t done = 0;
	ssize_t got = 1;

	file->data = malloc(bytes + 1);
	if (!file->data)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a file");
	while (done < bytes && got > 0) {
		got = read(fd, file->data + done, bytes - done);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return wbi_guard_system_fault(path, fault);
		else
			done += (size_t)got;
	}
	file->data[done] = '\0';
	file->bytes = done;
	return WB_OK;
}

static enum wb_err pass_on(const struct wb_fault *from, struct wb_fault *to)
{
	if (from->err && to)
		*to = *from;
	return from->err;
}

enum wb_err wbi_guarded_read(const char *path, enum wbi_guard guard, uid_t owner,
			     struct wbi_guarded *ret_file, struct wb_fault *fault)
{
	struct wbi_guarded file = {0};
	struct wb_fault unsafe;
	struct stat status;
	int fd = -1;
	/* Non-blocking: a fifo must not hold us up. */
	enum wb_err err = wbi_guard_open(path, O_RDONLY | O_NONBLOCK, owner, &fd, &unsafe, fault);

	if (!err && fstat(fd, &status) != 0)
		err = wbi_guard_system_fault(path, fault);
	if (!err)
		err = check_file(path, &status, guard, owner, fault);
	if (!err)
		err = pass_on(&unsafe, fault);
	if (!err && status.st_size > WBI_GUARDED_BYTES_MAX)
		err = wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "%.100s: more than %d bytes", path,
				   WBI_GUARDED_BYTES_MAX);
	if (!err)
		err = read_whole(fd, path, (size_t)status.st_size, &file, fault);
	wbi_fd_close(&fd);
	if (err)
		wbi_guarded_done(&file);
	else
		*ret_file = file;
	return err;
}

void wbi_guarded_done(struct wbi_guarded *file)
{
	if (file->data)
		explicit_bzero(file->data, file->bytes);
	free(file->data);
	*file = (struct wbi_guarded){0};
}

/* FNV-1a over what stat tells. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	for (int i = 0; i < 64; i += 8)
		hash = (hash ^ (value >> i & 0xff)) * UINT64_C(0x100000001b3);
	return hash;
}

uint64_t wbi_guarded_stamp(const char *path)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct stat status;

	if (stat(path, &status) != 0)
		return mix(hash, (uint64_t)errno);
	hash = mix(hash, status.st_dev);
	hash = mix(hash, status.st_ino);
	hash = mix(hash, (uint64_t)status.st_size);
	hash = mix(hash, (uint64_t)status.st_mtim.tv_sec);
	hash = mix(hash, (uint64_t)status.st_mtim.tv_nsec);
	hash = mix(hash, (uint64_t)status.st_ctim.tv_sec);
	return mix(hash, (uint64_t)status.st_ctim.tv_nsec);
}

/* ---- writing ---- */

/* A folder above that is missing too is the user's to make, but for ~/.config. */
static enum wb_err make_folders(const char *path, struct wb_fault *fault)
{
	char folder[PATH_MAX];
	int bytes = snprintf(folder, sizeof(folder), "%s", path);
	char *slash = bytes < PATH_MAX ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return WB_OK;
	*slash = '\0';
	if (mkdir(folder, FOLDER_MODE) == 0 || errno == EEXIST)
		return WB_OK;
	if (errno != ENOENT)
		return wbi_guard_system_fault(folder, fault);
	enum wb_err err = make_folders(folder, fault);
	if (!err && mkdir(folder, FOLDER_MODE) != 0 && errno != EEXIST)
		err = wbi_guard_system_fault(folder, fault);
	return err;
}

/* A name beside the file until it is whole: link() then gives it its own, or fails where somebody
 * was first. */
enum wb_err wbi_guarded_create(const char *path, mode_t mode, const void *data, size_t bytes,
			       struct wb_fault *fault)
{
	char beside[PATH_MAX];
	enum wb_err err = make_folders(path, fault);
	int fd;

	if (err)
		return err;
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
		return wbi_guard_refuse(path, "the name is too long", fault);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return wbi_guard_system_fault(path, fault);
	err = wbi_fd_write_all(fd, data, bytes, fault);
	if (!err && (fchmod(fd, mode) != 0 || fsync(fd) != 0 || link(beside, path) != 0))
		err = errno == EEXIST ? wbi_guard_refuse(path, "there is a file already", fault)
				      : wbi_guard_system_fault(path, fault);
	unlink(beside);
	wbi_fd_close(&fd);
	return err;
}

static bool ends_within_a_line(int fd, off_t end)
{
	char last;

	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

enum wb_err wbi_guarded_append(const char *path, const char *line, struct wb_fault *fault)
{
	enum wb_err err = make_folders(path, fault);
	struct wb_fault unsafe; /* whoever reads the file is told */
	char *text = NULL;
	int fd = -1, bytes = -1;

	if (!err)
		err = wbi_guard_open(path, O_RDWR | O_APPEND | O_CREAT, geteuid(), &fd, &unsafe,
				     fault);
	/* In one write: a reader never meets half a line. No lock: whoever may read the file could
	 * hold it for ever. */
	if (!err) {
		bool within = ends_within_a_line(fd, lseek(fd, 0, SEEK_END));

		bytes = asprintf(&text, "%s%s", within ? "\n" : "", line);
		err = bytes < 0 ? WB_ERR_NOMEM : wbi_fd_write_all(fd, text, (size_t)bytes, fault);
		if (bytes < 0)
			wb_fault_set(fault, err, NULL, 0, "no memory for a line");
		else
			free(text);
	}
	if (!err && fsync(fd) != 0)
		err = wbi_guard_system_fault(path, fault);
	wbi_fd_close(&fd);
	return err;
}
