/* Errors: one code for the program, one record for the person.
 *
 * Every fallible function returns an enum wb_err. The optional struct wb_fault that the caller
 * passes beside it says what was wrong, where, and with which errno; a NULL fault is always
 * allowed. Text in a fault never holds a byte that a terminal would act on. */
#ifndef WAYBILL_ERR_H
#define WAYBILL_ERR_H

#include <stddef.h>

#define WB_WARN_UNUSED __attribute__((warn_unused_result))

enum wb_err {
	WB_OK = 0,
	WB_ERR_ARGUMENT,    /* the caller's own mistake: a bad option, address or size */
	WB_ERR_MALFORMED,   /* bytes that break the format; fault.offset says where */
	WB_ERR_RANGE,       /* well-formed, but not a value that this program can hold */
	WB_ERR_MISSING,     /* a field that must be there is not */
	WB_ERR_LIMIT,       /* a documented limit would be passed */
	WB_ERR_UNSUPPORTED, /* understood, but not something that this build can do */
	WB_ERR_REFUSED,     /* policy says no */
	WB_ERR_CLOSED,      /* the peer ended the stream where more was due */
	WB_ERR_TIMEOUT,     /* a deadline passed */
	WB_ERR_NOMEM,       /* no memory */
	WB_ERR_SYSTEM,      /* a system call failed; fault.system_errno says how */
};

enum { WB_FAULT_FIELD_MAX = 48, WB_FAULT_TEXT_MAX = 200 };

/* What went wrong, in full. Caller-owned, no pointers, may be copied freely. */
struct wb_fault {
	enum wb_err err;
	int system_errno;               /* 0 where no system call failed */
	size_t offset;                  /* byte offset in the input, for MALFORMED, RANGE, LIMIT */
	char field[WB_FAULT_FIELD_MAX]; /* the field's name, "" where there is none; escaped */
	char text[WB_FAULT_TEXT_MAX];   /* "what: why", printable ASCII or UTF-8, no newline */
};

/* The stable lower-case name of an error ("malformed"). Never NULL; static storage. */
const char *wb_err_name(enum wb_err err);

/* Fills *fault (if not NULL) and returns err, so that a failing function ends in one line.
 *
 * err: any code but WB_OK. field: the field's name or NULL; it is escaped and cut to fit.
 * offset: byte offset in the input, 0 where it means nothing.
 * format, …: as printf; the result is escaped (control bytes become \xNN) and cut to fit.
 * Backslashes stay, so the text of another fault may be an argument: it does not change.
 * system_errno is taken from errno when err is WB_ERR_SYSTEM, else it is 0. */
enum wb_err wb_fault_set(struct wb_fault *fault, enum wb_err err, const char *field, size_t offset,
			 const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
