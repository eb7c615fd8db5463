/* The codec by itself: parcels and bytes per second, for three payload sizes.
 *
 * What a row does: `read` takes a stream apart that arrives in pieces of 64 KiB; `decode` looks at
 * a parcel that lies whole in memory; both borrow the payload and never touch it, so a large one
 * costs no more than a small one. `read, xxh128` is `read` with every payload digested, as a
 * session does it. `encode head` writes length and header, which is all that a sender needs who
 * gives the payload to the kernel from where it lies; `encode` copies the payload behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "waybill/digest.h"
#include "waybill/parcel.h"

enum { PIECE_BYTES = 65536, PAYLOAD_MAX = 256 * 1024, HEAD_MAX = 512, ROUNDS = 15, ROUND_MS = 20 };

static const struct wb_parcel_limits limits = {.header_bytes = 4096, .payload_bytes = PAYLOAD_MAX};

struct work {
	size_t payload_bytes;
	uint8_t *payload;
	uint8_t *wire; /* whole parcels, for the readers */
	size_t wire_bytes;
	struct wb_digest *digest;
	uint8_t *out;         /* room for one parcel, for the writers */
	volatile size_t sink; /* what was done is used, so that it is done */
};

static size_t encode_head(struct work *work)
{
	struct wb_header_writer writer;
	size_t head_bytes;

	wb_parcel_writer_init(&writer, work->out, HEAD_MAX);
	wb_header_put_string(&writer, "op", "data");
	wb_header_put_integer(&writer, "id", 123456);
	wb_header_put_string(&writer, "stream", "stdout");
	wb_header_put_integer(&writer, "offset", 1234567890);
	wb_header_put_integer(&writer, "total_size", work->payload_bytes);
	if (wb_parcel_writer_finish(&writer, work->out, &head_bytes, NULL))
		bench_die("encode");
	return head_bytes;
}

static size_t encode(struct work *work)
{
	size_t head_bytes = encode_head(work);

	memcpy(work->out + head_bytes, work->payload, work->payload_bytes);
	return head_bytes + work->payload_bytes;
}

/* Each pass_ function returns how many parcels it has dealt with. */
static size_t pass_encode_head(struct work *work)
{
	work->sink = encode_head(work);
	return 1;
}

static size_t pass_encode(struct work *work)
{
	work->sink = encode(work);
	return 1;
}

static size_t pass_decode(struct work *work)
{
	size_t begin = 0, count = 0;

	while (begin < work->wire_bytes) {
		struct wb_parcel parcel;

		if (wb_parcel_decode(&limits, work->wire + begin, work->wire_bytes - begin, &parcel,
				     NULL) != WB_DECODE_DONE)
			bench_die("decode");
		work->sink = parcel.payload_bytes;
		begin += parcel.consumed;
		count++;
	}
	return count;
}

/* digest: takes every payload in, unless it is NULL. */
static size_t read_stream(struct work *work, struct wb_digest *digest)
{
	struct wb_parcel_reader reader;
	size_t begin = 0, arrived = 0, count = 0;

	wb_parcel_reader_init(&reader, &limits);
	for (;;) {
		size_t consumed, bytes = 0;
		const uint8_t *data;

		switch (wb_parcel_reader_next(&reader, work->wire + begin, arrived - begin,
					      &consumed, &data, &bytes, NULL)) {
		case WB_PARCEL_NEED:
			if (arrived == work->wire_bytes)
				return count;
			arrived += PIECE_BYTES;
			if (arrived > work->wire_bytes)
				arrived = work->wire_bytes;
			break;
		case WB_PARCEL_BAD:
			bench_die("read");
		case WB_PARCEL_END:
			count++;
			break;
		case WB_PARCEL_HEAD:
			break;
		case WB_PARCEL_DATA:
			work->sink = bytes;
			if (digest)
				wb_digest_update(digest, data, bytes);
		}
		begin += consumed;
	}
}

static size_t pass_read(struct work *work)
{
	return read_stream(work, NULL);
}

static size_t pass_read_digest(struct work *work)
{
	return read_stream(work, work->digest);
}

/* At least a mebibyte of whole parcels, so that reading them is no special case of one. */
static void work_init(struct work *work, size_t payload_bytes)
{
	enum { WIRE_BYTES = 1 << 20 };
	size_t room = PAYLOAD_MAX + HEAD_MAX;

	*work = (struct work){
		.payload_bytes = payload_bytes,
		.payload = bench_alloc(1, payload_bytes),
		.wire = bench_alloc(1, WIRE_BYTES + room),
		.out = bench_alloc(1, room),
	};
	if (wb_digest_new(WB_DIGEST_XXH128, &work->digest, NULL))
		bench_die("xxh128");
	memset(work->payload, 'p', payload_bytes);
	while (work->wire_bytes < WIRE_BYTES) {
		size_t bytes = encode(work);

		memcpy(work->wire + work->wire_bytes, work->out, bytes);
		work->wire_bytes += bytes;
	}
}

static void work_done(struct work *work)
{
	wb_digest_free(work->digest);
	free(work->payload);
	free(work->wire);
	free(work->out);
}

typedef size_t pass_function(struct work *work);

/* Parcels per second over one round. */
static double round_rate(pass_function *pass, struct work *work)
{
	uint64_t begin_ns = bench_now_ns(), took_ns;
	size_t parcels = 0;

	do {
		for (int i = 0; i < 16; i++)
			parcels += pass(work);
		took_ns = bench_now_ns() - begin_ns;
	} while (took_ns < ROUND_MS * UINT64_C(1000000));
	return (double)parcels * 1e9 / (double)took_ns;
}

static void measure(const char *name, const char *size, pass_function *pass, struct work *work)
{
	double rates[ROUNDS], rate;

	round_rate(pass, work); /* caches and branches warm up */
	for (int i = 0; i < ROUNDS; i++)
		rates[i] = round_rate(pass, work);
	rate = bench_quantile(rates, ROUNDS, 0.5);
	printf("%-12s %8s %14.0f %12.1f %10.1f %7.1f %%\n", name, size, rate,
	       rate * (double)work->payload_bytes / 1e6, 1e9 / rate,
	       100 * (bench_quantile(rates, ROUNDS, 0.75) - bench_quantile(rates, ROUNDS, 0.25)) /
		       rate);
}

int main(void)
{
	static const struct {
		const char *name;
		size_t bytes;
	} sizes[] = {{"64 B", 64}, {"4 KiB", 4096}, {"256 KiB", PAYLOAD_MAX}};
	static const struct {
		const char *name;
		pass_function *pass;
	} rows[] = {
		{"read", pass_read},     {"read, xxh128", pass_read_digest},
		{"decode", pass_decode}, {"encode head", pass_encode_head},
		{"encode", pass_encode},
	};

	printf("%-12s %8s %14s %12s %10s %9s\n", "parcel", "payload", "parcels/s", "MB/s",
	       "ns each", "spread");
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			struct work work;

			work_init(&work, sizes[s].bytes);
			measure(rows[r].name, sizes[s].name, rows[r].pass, &work);
			work_done(&work);
		}
	}
	puts("MB/s: of payload, 10^6 bytes; read and decode borrow it, encode head leaves it where "
	     "it "
	     "lies.\nspread: between the quartiles of 15 rounds.");
	return 0;
}
