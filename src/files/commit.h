/* The commit: from complete temporaries to final names, in batches.
 *
 * A name is given only when the content is on disk: so however a machine dies, a final name holds
 * the old file or the new one, whole. Syncing costs a disk's round trip, hence the batches: all
 * content, then all names, then all folders. Without syncing a name is given at once, save in a
 * hidden folder: there everything waits until it is known whether that gets its name. */
#ifndef WBI_FILES_COMMIT_H
#define WBI_FILES_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "files/folder.h"
#include "files/temporary.h"

enum {
	WBI_COMMIT_FILES = 1024,
	WBI_COMMIT_FILES_MAX = 2 * WBI_COMMIT_FILES, /* where a hidden folder is being filled */
	WBI_COMMIT_BYTES = 64 << 20,
};

/* Told for an entry whose name in `folder` could not be given; bytes: of content, error: an errno.
 * Must not flush. */
typedef void wbi_commit_failed_fn(void *context, const struct wbi_folder *folder, uint64_t n,
				  const char *name, uint64_t bytes, int error);

struct wbi_commit {
	struct wbi_folders *folders; /* borrowed */
	bool sync;
	struct wbi_commit_entry *entries; /* NULL until the first */
	unsigned count;                   /* complete, not named yet */
	unsigned unsynced;                /* of them, those whose content is not on disk */
	uint64_t bytes;                   /* unsynced */
	bool found;       /* content that was there before, perhaps not on disk yet */
	unsigned changes; /* entries of every kind since the last flush */
	wbi_commit_failed_fn *failed;
	void *context;
};

void wbi_commit_init(struct wbi_commit *commit, struct wbi_folders *folders, bool sync,
		     wbi_commit_failed_fn *failed, void *context);
void wbi_commit_done(struct wbi_commit *commit); /* what is not flushed keeps no name */

/* Hands over a complete temporary, closed; the folder is in use until it has its name. Whatever
 * had the name is replaced, unless it is a folder. temporary: NULL where it was made under its
 * name, in a hidden folder: then it waits for that one's. bytes: of its content, which is not
 * synced yet. Where its name cannot be given it is removed and `failed` told. Returns 0, or -1 with
 * errno ENOMEM: then it is still the caller's. */
int wbi_commit_add(struct wbi_commit *commit, struct wbi_folder *folder, const char *temporary,
		   const char *name, uint64_t n, uint64_t bytes);

/* A temporary of any kind gets its name now. Returns 0, or -1 with errno: then it is removed. */
int wbi_commit_name(struct wbi_commit *commit, struct wbi_folder *folder, const char *temporary,
		    const char *name);

/* Something else was made or changed in `folder`. */
void wbi_commit_note(struct wbi_commit *commit, struct wbi_folder *folder);

/* The content of `fd` was in `folder` before; the next flush puts it on disk. Returns 0, or -1 with
 * errno. */
int wbi_commit_found(struct wbi_commit *commit, const struct wbi_folder *folder, int fd);

/* Something has no name yet. */
bool wbi_commit_waits(const struct wbi_commit *commit);

/* A flush is due. filling: things are being put into this folder; NULL: none; where it is hidden it
 * pays to wait a little for its end. */
bool wbi_commit_due(const struct wbi_commit *commit, const struct wbi_folder *filling);

/* Content to disk. Returns 0, or -1 with errno: then nothing may be named (wbi_commit_forget). */
int wbi_commit_sync(struct wbi_commit *commit);

/* Names, those of hidden folders too, after wbi_commit_sync. Then what depends on the names can be
 * done, and last: */
void wbi_commit_rename(struct wbi_commit *commit);

/* Folders. What was added since the last flush is durable when this returns 0. */
int wbi_commit_finish(struct wbi_commit *commit);

/* Removes what has no name yet and tells `failed` of each. */
void wbi_commit_forget(struct wbi_commit *commit, int error);

#endif
