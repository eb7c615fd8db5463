/* For tables of what a provider of OpenSSL's has (provider(7)). */
#ifndef WBI_PROVIDES_H
#define WBI_PROVIDES_H

/* One function, by its number in openssl/core_dispatch.h. */
#define WBI_PROVIDES(number, function)                                                             \
	{                                                                                          \
		number, (void (*)(void))(function)                                                 \
	}

#endif
