# Waybill. `make` builds; `make demo` shows; `make test` tests; `make help` lists the rest.
#
#   make SAN=address,undefined …   the same with sanitizers, in a build folder of its own
#   make CC=clang …                with another compiler

CC        ?= cc
PREFIX    ?= /usr/local
PKGCONFIG ?= pkg-config
SAN       ?=
comma     := ,
B         := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))

FORTIFY   := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
OPT       ?= $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2 $(FORTIFY))
WARN      := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings
CPPFLAGS  += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc
CFLAGS    += -std=c11 -g $(OPT) $(WARN) -fno-strict-aliasing -fstack-protector-strong -pthread
LDFLAGS   += -pthread

# OpenSSL is linked in where its archives are here, because the shared ones cost a client 0.4 ms
# whether it uses them or not, and because only then can it do without most of OpenSSL
# (src/keys/library_few.c). WITH_OPENSSL=shared asks for those; sanitizers do.
OPENSSL_ARCHIVES := -l:libssl.a -l:libcrypto.a \
	$(filter-out -lssl -lcrypto,$(shell $(PKGCONFIG) --static --libs libssl libcrypto 2>/dev/null))
ifeq ($(SAN)$(WITH_OPENSSL),)
WITH_OPENSSL := $(shell echo 'int SSL_CTX_free(void *); int main(void) { return SSL_CTX_free(0); }' | \
	$(CC) -w -x c - -o /dev/null $(OPENSSL_ARCHIVES) 2>/dev/null && echo archives)
endif
ifeq ($(WITH_OPENSSL),archives)
LDLIBS    += $(OPENSSL_ARCHIVES)
# Calls of OpenSSL's own that go through src/keys/library_wrap.c, in our programs only. So libcrypto
# needs our library, too: each has two turns.
LDFLAGS   += $(addprefix -Wl$(comma)--wrap=,EVP_CIPHER_fetch EVP_KEYEXCH_fetch EVP_KEYMGMT_fetch \
	EVP_MD_fetch EVP_SIGNATURE_fetch EVP_PKEY_asn1_get_count)
AGAIN      = $(LIB) $(LDLIBS)
# Intel's library for IPsec is optional, and for its own processors and AMD's: AES-GCM at four times
# the speed of OpenSSL before 3.1 (src/keys/library_gcm.c). WITH_IPSEC_MB=no does without.
ifeq ($(WITH_IPSEC_MB),)
WITH_IPSEC_MB := $(shell echo 'int main(void) { aes_gcm_precomp_128_vaes_avx512(0); \
	aes_gcm_enc_128_vaes_avx512(); aes_gcm_dec_128_vaes_avx512(); aes_keyexp_128_enc_avx512(0, 0); }' | \
	$(CC) -w -include intel-ipsec-mb.h -x c - -o /dev/null -l:libIPSec_MB.a 2>/dev/null && echo yes)
endif
ifeq ($(WITH_IPSEC_MB),yes)
CPPFLAGS  += -DHAVE_IPSEC_MB
LDLIBS    += -l:libIPSec_MB.a
endif
# libsodium is optional: Ed25519 at twice OpenSSL's speed (src/keys/library_ed25519.c).
# WITH_SODIUM=no does without.
ifeq ($(WITH_SODIUM),)
WITH_SODIUM := $(shell echo 'int main(void) { return crypto_sign_ed25519_verify_detached(0, 0, 0, 0); }' | \
	$(CC) -w -include sodium.h -x c - -o /dev/null -l:libsodium.a 2>/dev/null && echo yes)
endif
ifeq ($(WITH_SODIUM),yes)
CPPFLAGS  += -DHAVE_SODIUM
LDLIBS    += -l:libsodium.a
endif
else
LDLIBS    += -lssl -lcrypto
endif
ifneq ($(SAN),)
CFLAGS    += -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS   += -fsanitize=$(SAN)
else
CFLAGS    += -fPIE
LDFLAGS   += -pie -Wl,-z,relro,-z,now
endif

# Where a library's archives link they are preferred, for each shared library costs a client's start.
# $(call linked,PACKAGE,A FUNCTION OF IT)
archives = $(patsubst -l%,-l:lib%.a,$(filter -l%,$(shell $(PKGCONFIG) --static --libs $(1))))
linked   = $(shell echo 'int main(void) { return 0; }' | $(CC) -w -x c - -o /dev/null \
	-Wl,-u,$(2) $(call archives,$(1)) 2>/dev/null && echo $(call archives,$(1)) || $(PKGCONFIG) --libs $(1))

# libedit is optional: without it `talk` reads lines without editing.
HAVE_LIBEDIT := $(shell $(PKGCONFIG) --exists libedit 2>/dev/null && echo 1)
ifeq ($(HAVE_LIBEDIT),1)
CPPFLAGS  += -DHAVE_LIBEDIT
CLI_LIBS  := $(call linked,libedit,el_init)
endif

# libzstd is optional: without it nothing is compressed.
HAVE_ZSTD := $(shell $(PKGCONFIG) --exists libzstd 2>/dev/null && echo 1)
ifeq ($(HAVE_ZSTD),1)
CPPFLAGS  += -DHAVE_ZSTD
ZSTD_LIBS := $(call linked,libzstd,ZSTD_compressCCtx)
LDLIBS    += $(ZSTD_LIBS)
endif

LIB_SRC   := $(sort $(foreach d,base wire session keys sys files transport conn job service app,$(wildcard src/$(d)/*.c)))
CLI_SRC   := $(sort $(wildcard src/cli/*.c))
LAB_SRC   := $(sort $(wildcard lab/*.c))
UNIT_SRC  := $(sort $(wildcard tests/unit/*/test_*.c tests/conformance/test_*.c tests/sim/test_*.c))
STRESS_SRC := $(sort $(wildcard tests/stress/*.c))
FUZZ_SRC  := $(sort $(wildcard fuzz/fuzz_*.c))
BENCH_SRC := $(sort $(wildcard bench/bench_*.c))
BENCH_HELP := $(sort $(wildcard bench/support/*.c))

obj        = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB       := $(B)/libwaybill.a
BIN       := $(B)/waybill
UNIT_BIN  := $(patsubst tests/%.c,$(B)/tests/%,$(UNIT_SRC))
STRESS_BIN := $(patsubst tests/%.c,$(B)/tests/%,$(STRESS_SRC))
FUZZ_BIN  := $(patsubst fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SRC))
BENCH_BIN := $(patsubst bench/%.c,$(B)/bench/%,$(BENCH_SRC))

# One short line a file; V=1 shows the commands.
ifneq ($(V),1)
Q     := @
say    = @echo '  $(1) $@'
endif

.DEFAULT_GOAL := all
.PHONY: all deps-build deps-test deps-bench demo test bench tidy fuzz man install clean help
.PRECIOUS: $(B)/obj/%.o
.DELETE_ON_ERROR:

all: $(BIN) $(LIB) $(B)/waybill.pc
	@:

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(call obj,$(LIB_SRC))
	@mkdir -p $(@D)
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BIN): $(call obj,$(CLI_SRC) $(LAB_SRC)) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(CLI_LIBS) $(LDLIBS) $(AGAIN) -o $@

$(B)/tests/%: $(B)/obj/tests/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka -ljansson $(LDLIBS) $(AGAIN) -o $@

# What a program of somebody else's links with. The archive brings nothing of its own needs along.
$(B)/waybill.pc: Makefile include/waybill/version.h
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'Name: waybill' \
		'Description: run commands, move files and exchange messages over sockets' \
		"Version: $$(sed -n 's/^#define WB_VERSION "\(.*\)"/\1/p' include/waybill/version.h)" \
		'Cflags: -I$${prefix}/include' \
		'Libs: -L$${prefix}/lib -lwaybill $(LDLIBS) -pthread' >$@

# Programs that pytest runs against a daemon.
$(B)/tests/stress/%: $(B)/obj/tests/stress/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) $(AGAIN) -o $@

# The lab, in a room beside src/. Its learners' programs are built in as they are (.incbin).
$(call obj,$(LAB_SRC) $(wildcard tests/unit/lab/*.c) src/cli/cmd_lab.c): CPPFLAGS += -I.
$(call obj,lab/code.c): $(wildcard lab/code/*)

$(B)/tests/unit/lab/%: $(B)/obj/tests/unit/lab/%.o $(call obj,$(LAB_SRC)) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka $(LDLIBS) $(AGAIN) -o $@

# A fuzz target with a main that replays files: what CI runs over the corpus, with any compiler.
$(B)/fuzz/%: $(B)/obj/fuzz/%.o $(B)/obj/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ -ljansson $(LDLIBS) $(AGAIN) -o $@

$(B)/bench/%: $(B)/obj/bench/%.o $(call obj,$(BENCH_HELP)) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) $(AGAIN) -lm -o $@

$(B)/examples/%: $(B)/obj/examples/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) $(AGAIN) -o $@

deps-build:
	@tools/deps build
deps-test:
	@tools/deps build test
deps-bench:
	@tools/deps build bench

demo: deps-build
	@$(MAKE) --no-print-directory demo-programs
	@tools/demo $(BIN) $(B)/examples/glue $(B)/examples/cutter

test: deps-test
	@$(MAKE) --no-print-directory all test-programs
	@tools/run-tests $(B)

.PHONY: demo-programs test-programs bench-programs
demo-programs: $(BIN) $(B)/examples/glue $(B)/examples/cutter
	@:
test-programs: $(UNIT_BIN) $(FUZZ_BIN) $(STRESS_BIN)
	@:
bench-programs: $(BENCH_BIN) $(BIN)
	@:

bench: deps-bench
	@$(MAKE) --no-print-directory bench-programs
	@bench/run $(B)

tidy: deps-test
	@tools/tidy

# Real fuzzing (clang only): make fuzz FUZZ=header SECONDS=60
FUZZ    ?= header
SECONDS ?= 60
fuzz:
	@tools/deps build fuzz
	@tools/fuzz $(FUZZ) $(SECONDS)

man: $(B)/man/waybill.1
$(B)/man/waybill.1: $(BIN) tools/man docs/waybill.1.in
	@tools/man $(BIN) $(@D)

install: all man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/waybill
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/waybill
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libwaybill.a
	install -m 644 include/waybill/*.h $(DESTDIR)$(PREFIX)/include/waybill/
	install -m 644 $(B)/waybill.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/waybill.pc
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(B)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/

clean:
	rm -rf build

help:
	@echo 'make            build/waybill and build/libwaybill.a'
	@echo 'make demo       see it work'
	@echo 'make test       every test; SAN=address,undefined or SAN=thread for sanitizers'
	@echo 'make bench      speed, side by side with the bare kernel'
	@echo 'make tidy       layers, function length, banned calls'
	@echo 'make fuzz       FUZZ=header SECONDS=60 (clang)'
	@echo 'make man        manual pages, in build/man'
	@echo 'make install    PREFIX=/usr/local DESTDIR='

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
