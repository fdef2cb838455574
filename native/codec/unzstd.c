#include "codec.h"

#include <zstd.h>
#include <zstd_errors.h>

void *tsb_unzstd_open(void) { return ZSTD_createDCtx(); }

void tsb_unzstd_close(void *decoder) { ZSTD_freeDCtx(decoder); }

int tsb_unzstd_step(void *decoder, const uint8_t *input, size_t size, uint8_t *output,
                    size_t capacity, struct tsb_progress *progress) {
  ZSTD_inBuffer in = {.src = input, .size = size};
  ZSTD_outBuffer out = {.dst = output, .size = capacity};
  size_t left = ZSTD_decompressStream(decoder, &out, &in);
  *progress = (struct tsb_progress){.read = (double)in.pos, .written = (double)out.pos};
  if (ZSTD_isError(left))
    return -(int)ZSTD_getErrorCode(left);
  return left == 0;
}

const char *tsb_unzstd_fault(int code) { return ZSTD_getErrorString((ZSTD_ErrorCode)-code); }
