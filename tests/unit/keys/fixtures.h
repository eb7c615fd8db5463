/* Files as ssh-keygen wrote them, and the macro that makes a test skip aloud. No key here opens
 * anything. */
#ifndef KEYS_FIXTURES_H
#define KEYS_FIXTURES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keys/public_key.h"

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		print_message("SKIPPED %s: %s\n", __func__, why);                                  \
		skip();                                                                            \
	} while (0)

/* ssh-keygen -t ed25519 -C alice@example, and its fingerprint. */
#define ALICE_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h"

#define ALICE_FINGERPRINT "SHA256:dKJWE3zDvCVkVY+bbC50mdXQM5McCHM0ENsJVGNw8pw"

/* Her certificate, which is a kind of key of its own. */
#define ALICE_CERTIFICATE                                                                          \
	"ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29"         \
	"tAAAAIBsY+O2YTVAkTZDQt3+77mtXKvd9XW+QR34Qx3oC8KB7AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTU"         \
	"CGzvxE2/8Lxq0+q4hAAAAAAAAAAAAAAABAAAAAmlkAAAACQAAAAVhbGljZQAAAAAAAAAA//////////8"         \
	"AAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJ"         \
	"kaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5"         \
	"wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACBe5p1i6K3XhaUCWImmL0n"         \
	"Ix+eGDheCo/ezM0IO+X0Z1gAAAFMAAAALc3NoLWVkMjU1MTkAAABAj52cbcsu8XOvbx8bNwRSPb15nHt"         \
	"7t9j4rmTgsGJfSEJA1jsX/9wgHO7rawQinnBh59Y6uy9xXi8pDuHpT5hMCQ=="

/* Another, and his fingerprint. */
#define BOB_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF7mnWLordeFpQJYiaYvScjH54YOF4Kj97MzQg75fRnW"

#define BOB_FINGERPRINT "SHA256:aXUV15/S6K5rU6AWsDuRBzP2MlV4hSWdJj083SLbwSU"

/* Other kinds. */
#define RSA_KEY                                                                                    \
	"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC5q+GnLYlEg8zSGFvSCaNTbxP4aQyIyneFm65xpACY"         \
	"QRfxZlqsw0G6GpdaSc7W0hmorFIhMXFar1e1I4Qrz6IB/YkDXR7tjk0HMagarOvQyIEZSEhTN1psUfAf"         \
	"oQNpZLspQsXVXT2GNNBxInV8Bik0UZ9G0+oll3DcZKKu8FnKMw=="

#define ECDSA_KEY                                                                                  \
	"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIv7OiqC"         \
	"I1mcfY+SgeJfFsSVKsaGdZX1dQffko62AdOkebFIO9hqTm9aYc/mlIfDFsSLM38O1djwZAPXLZd2KgY="

/* Her private key. */
#define ALICE_FILE                                                                                 \
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"                                                    \
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"                 \
	"QyNTUxOQAAACA6c9Aalpd4IBZylpuiRKuADC01Ahs78RNv/C8atPquIQAAAJC623KOutty\n"                 \
	"jgAAAAtzc2gtZWQyNTUxOQAAACA6c9Aalpd4IBZylpuiRKuADC01Ahs78RNv/C8atPquIQ\n"                 \
	"AAAEATDcz4pytlQdzpkKfIWPEYogJ1rCO9QEu6An6wnSd8kTpz0BqWl3ggFnKWm6JEq4AM\n"                 \
	"LTUCGzvxE2/8Lxq0+q4hAAAADWFsaWNlQGV4YW1wbGU=\n"                                           \
	"-----END OPENSSH PRIVATE KEY-----\n"

/* One behind a passphrase, and its public part. */
#define LOCKED_FILE                                                                                \
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"                                                    \
	"b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDA+O7J1b\n"                 \
	"aK5q7BlrvR74aDAAAAAQAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIMor9erRu8NptytU\n"                 \
	"vetWBzTvpisF4b3kFDOBYKYTpOxHAAAAoN+jaPh2pzFUcReBqp4eptz1gZyyOK8QR+8S1m\n"                 \
	"2tV/v/6W42NU+tfRuv7Z54pZ1xub9sRFfZtzM2H40gDp/Lll65P6KPuJqHEp0VYjIiB8AU\n"                 \
	"gyWwvqw930kvWYEOePsOyARtJ/9qSJ8IF7P1QKqECUPxJhcYcGhRzfSbYGH0WPdZcXHvET\n"                 \
	"Z9At7NHBOxXBAK+RXKDtEo7Q1POZY5p1XjQBc=\n"                                                 \
	"-----END OPENSSH PRIVATE KEY-----\n"

#define LOCKED_KEY                                                                                 \
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMor9erRu8NptytUvetWBzTvpisF4b3kFDOBYKYTpOxH"

/* Another kind, in the same format. */
#define ECDSA_FILE                                                                                 \
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"                                                    \
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS\n"                 \
	"1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQSL+zoqgiNZnH2PkoHiXxbElSrGhnWV\n"                 \
	"9XUH35KOtgHTpHmxSDvYak5vWmHP5pSHwxbEizN/DtXY8GQD1y2XdioGAAAAoIPP1n2Dz9\n"                 \
	"Z9AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIv7OiqCI1mcfY+S\n"                 \
	"geJfFsSVKsaGdZX1dQffko62AdOkebFIO9hqTm9aYc/mlIfDFsSLM38O1djwZAPXLZd2Kg\n"                 \
	"YAAAAgG4G+MnUdllrd57zdObH05gFfKdeyt8yQNJuNnHiDpEUAAAABZQECAwQFBgc=\n"                     \
	"-----END OPENSSH PRIVATE KEY-----\n"

/* ssh-keygen -H of example.com,192.0.2.7 and of [box.example]:9292, each with Alice's key. */
#define HASHED_HOSTS                                                                               \
	"|1|QursJsHHamXFMZAo/yAF4uBmsZc=|PPuE7T0F4Fy1V7jf/ixEc+dTnNw= ssh-ed25519 "                \
	"AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h\n"                   \
	"|1|Op/U5mwFo/AmeSKLMrckwy9zq1s=|Wbh9rckoPRC9Nh7asAG/jFL1Eao= ssh-ed25519 "                \
	"AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h\n"                   \
	"|1|VnBenkDxu9BeyBJDlMrI8miaEo0=|/aNdMfjPFIaFE/t1XtVeRigBW2w= ssh-ed25519 "                \
	"AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h\n"

/* The key of one of the lines above. */
static inline struct wbi_public_key key_of(const char *line)
{
	struct wbi_public_key key;
	struct wb_fault fault;

	if (wbi_public_key_parse(line, __builtin_strlen(line), &key, NULL, &fault))
		fail_msg("%s: %s", line, fault.text);
	return key;
}

#endif
