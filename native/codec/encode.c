#include "codec.h"

#include <libdeflate.h>
#include <zstd.h>

size_t tsb_gzip_bound(size_t size) { return libdeflate_gzip_compress_bound(NULL, size); }

size_t tsb_zstd_bound(size_t size) { return ZSTD_compressBound(size); }

size_t tsb_gzip(int level, const uint8_t *input, size_t size, uint8_t *output, size_t capacity) {
  struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
  if (!compressor)
    return 0;
  size_t written = libdeflate_gzip_compress(compressor, input, size, output, capacity);
  libdeflate_free_compressor(compressor);
  return written;
}

size_t tsb_zstd(int level, const uint8_t *input, size_t size, uint8_t *output, size_t capacity) {
  size_t written = ZSTD_compress(output, capacity, input, size, level);
  return ZSTD_isError(written) ? 0 : written;
}
