/* Where keys and what is known about them lie, unless options say otherwise. */
#ifndef WBI_PLACES_H
#define WBI_PLACES_H

#include <limits.h>
#include <stdbool.h>

/* Waybill's own file: $XDG_CONFIG_HOME/waybill/NAME, else ~/.config/waybill/NAME. False: the path
 * would be too long. */
bool wbi_place_own(const char *name, char out[PATH_MAX]);

/* OpenSSH's: ~/.ssh/NAME. */
bool wbi_place_ssh(const char *name, char out[PATH_MAX]);

/* Whether a file lies in a folder that OpenSSH reads from (its last folder is .ssh): then what it
 * holds must make sense to OpenSSH too. */
bool wbi_place_is_ssh(const char *path);

#endif
