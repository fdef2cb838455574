/* The compressions that layers come in and leave in: libdeflate's gzip and libzstd, linked in, so
 * that the same bytes come out wherever this library runs; and ISA-L's gunzip, where the host has
 * it. Bytes to be decompressed are hostile until their digest is known. */
#ifndef TSB_CODEC_H
#define TSB_CODEC_H

#include <stddef.h>
#include <stdint.h>

#define TSB_EXPORT __attribute__((visibility("default")))

/* How far one step came. Doubles, as everywhere at this border. */
struct tsb_progress {
  double read;
  double written;
};

/* Bytes that an encoded piece of `size` bytes has at most. */
TSB_EXPORT size_t tsb_gzip_bound(size_t size);
TSB_EXPORT size_t tsb_zstd_bound(size_t size);

/* One gzip member (level 0 to 12), one zstd frame (1 to 22). Returns its size, 0 without memory. */
TSB_EXPORT size_t tsb_gzip(int level, const uint8_t *input, size_t size, uint8_t *output,
                           size_t capacity);
TSB_EXPORT size_t tsb_zstd(int level, const uint8_t *input, size_t size, uint8_t *output,
                           size_t capacity);

/* A decoder of one stream, or NULL: without memory, and for gzip where the host has no ISA-L. */
TSB_EXPORT void *tsb_gunzip_open(void);
TSB_EXPORT void *tsb_unzstd_open(void);
TSB_EXPORT void tsb_gunzip_close(void *decoder);
TSB_EXPORT void tsb_unzstd_close(void *decoder);

/* Decodes as much of the input as fits into the output. Returns 1 where a member or frame has ended
 * (the stream may end here), 0 inside one, or what is wrong with the bytes, for tsb_*_fault. */
TSB_EXPORT int tsb_gunzip_step(void *decoder, const uint8_t *input, size_t size, uint8_t *output,
                               size_t capacity, struct tsb_progress *progress);
TSB_EXPORT int tsb_unzstd_step(void *decoder, const uint8_t *input, size_t size, uint8_t *output,
                               size_t capacity, struct tsb_progress *progress);
TSB_EXPORT const char *tsb_gunzip_fault(int code);
TSB_EXPORT const char *tsb_unzstd_fault(int code);

#endif
