/* Packed bytes: a bounds-checked reader of requests, a growing writer of replies. Both remember the
 * first failure, so that callers check once, at the end of a record. */
#ifndef TSB_BATCH_BYTES_H
#define TSB_BATCH_BYTES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BATCH_MAGIC 0x31425354u /* "TSB1" */
#define BATCH_HEAD 32u          /* bytes of a reply's head */
#define BATCH_LIMIT ((size_t)1 << 30)

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the packed formats are little endian");

struct batch_in {
  const uint8_t *next;
  size_t left;
  bool bad; /* something was missing or out of range; all later reads give zeros */
};

uint32_t in_u32(struct batch_in *in);
/* A double that holds a whole number from 0 to 2^53. */
uint64_t in_size(struct batch_in *in);
/* As in_size, with a sign. */
int64_t in_signed(struct batch_in *in);
const uint8_t *in_bytes(struct batch_in *in, size_t length);
/* A string without NUL inside, terminated by one; "" when bad. */
const char *in_string(struct batch_in *in, uint32_t *length);
/* The rest of a string whose length was read before. */
const char *in_text(struct batch_in *in, uint32_t length);

struct batch_out {
  uint8_t *data;
  size_t length, room;
  bool full; /* memory or BATCH_LIMIT ran out; all later writes are dropped */
};

/* `length` writable bytes at the end, counted as written; NULL when full. */
uint8_t *out_space(struct batch_out *out, size_t length);
void out_u32(struct batch_out *out, uint32_t value);
void out_f64(struct batch_out *out, double value);
void out_bytes(struct batch_out *out, const void *bytes, size_t length);
/* Zeros up to the next multiple of 8. */
void out_align(struct batch_out *out);
void out_free(struct batch_out *out);

#endif
