/* Text on a terminal: how many columns it takes, and where a line may be broken. */
#ifndef LAB_TEXT_H
#define LAB_TEXT_H

#include <stddef.h>

/* Columns of UTF-8 text: East Asian wide characters take two, whatever the locale is. */
unsigned lab_columns(const char *text);

/* Bytes of `text` that fit on a line of `columns`: up to a space, or beside a wide character where
 * Chinese typesetting allows it; else as much as fits. 0 only for "". Ends before a newline. */
size_t lab_line_bytes(const char *text, unsigned columns);

#endif
