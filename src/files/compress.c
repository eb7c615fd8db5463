/* Compression: see compress.h. Level 1, because a transfer that is asked to compress still wants to
 * be as fast as the disk. */
#include "files/compress.h"

#include <stdlib.h>

#ifdef HAVE_ZSTD
#include <zstd.h>

enum { LEVEL = 1 };

/* The library's own contexts under our names. */
static ZSTD_CCtx *packing(struct wbi_compressor *compressor)
{
	return (ZSTD_CCtx *)compressor;
}

static ZSTD_DCtx *unpacking(struct wbi_decompressor *decompressor)
{
	return (ZSTD_DCtx *)decompressor;
}

bool wbi_compress_exists(void)
{
	return true;
}

enum wb_err wbi_compressor_new(struct wbi_compressor **ret_compressor)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();

	if (!context)
		return WB_ERR_NOMEM;
	*ret_compressor = (struct wbi_compressor *)context;
	return WB_OK;
}

void wbi_compressor_free(struct wbi_compressor *compressor)
{
	ZSTD_freeCCtx(packing(compressor));
}

enum wb_err wbi_decompressor_new(struct wbi_decompressor **ret_decompressor)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();

	if (!context)
		return WB_ERR_NOMEM;
	*ret_decompressor = (struct wbi_decompressor *)context;
	return WB_OK;
}

void wbi_decompressor_free(struct wbi_decompressor *decompressor)
{
	ZSTD_freeDCtx(unpacking(decompressor));
}

size_t wbi_compress(struct wbi_compressor *compressor, const void *data, size_t bytes, void *out,
		    size_t room)
{
	size_t written = ZSTD_compressCCtx(packing(compressor), out, room, data, bytes, LEVEL);

	return ZSTD_isError(written) ? 0 : written;
}

enum wb_err wbi_decompress(struct wbi_decompressor *decompressor, const void *data, size_t bytes,
			   void *out, size_t raw_bytes)
{
	size_t written;

	/* Several frames in a row would be taken, too. */
	if (ZSTD_findFrameCompressedSize(data, bytes) != bytes)
		return WB_ERR_MALFORMED;
	written = ZSTD_decompressDCtx(unpacking(decompressor), out, raw_bytes, data, bytes);
	return written == raw_bytes ? WB_OK : WB_ERR_MALFORMED;
}

#else

bool wbi_compress_exists(void)
{
	return false;
}

enum wb_err wbi_compressor_new(struct wbi_compressor **ret_compressor)
{
	(void)ret_compressor;
	return WB_ERR_UNSUPPORTED;
}

void wbi_compressor_free(struct wbi_compressor *compressor)
{
	(void)compressor;
}

enum wb_err wbi_decompressor_new(struct wbi_decompressor **ret_decompressor)
{
	(void)ret_decompressor;
	return WB_ERR_UNSUPPORTED;
}

void wbi_decompressor_free(struct wbi_decompressor *decompressor)
{
	(void)decompressor;
}

size_t wbi_compress(struct wbi_compressor *compressor, const void *data, size_t bytes, void *out,
		    size_t room)
{
	(void)compressor, (void)data, (void)bytes, (void)out, (void)room;
	return 0;
}

enum wb_err wbi_decompress(struct wbi_decompressor *decompressor, const void *data, size_t bytes,
			   void *out, size_t raw_bytes)
{
	(void)decompressor, (void)data, (void)bytes, (void)out, (void)raw_bytes;
	return WB_ERR_UNSUPPORTED;
}

#endif
