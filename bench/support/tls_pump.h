/* Pumps through TLS, and what they are read with; each makes the handshake first. */
#ifndef BENCH_TLS_PUMP_H
#define BENCH_TLS_PUMP_H

#include <stdint.h>

/* Moves all that `from` says to the connected socket `to`, as a server; both stay open. */
void bench_tls_pump_bare(int from, int to); /* bare OpenSSL, TLS_AES_128_GCM_SHA256 */
void bench_tls_pump_link(int from, int to); /* a link of ours, without a session */

/* Reads to the end, as a client. Returns how many bytes there were; fd stays open. */
uint64_t bench_tls_read_bare(int fd);
uint64_t bench_tls_read_link(int fd);

#endif
