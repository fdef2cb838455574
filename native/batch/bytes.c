#include "bytes.h"

#include <stdlib.h>

#define EXACT_DOUBLE 9007199254740992.0 /* 2^53 */

const uint8_t *in_bytes(struct batch_in *in, size_t length) {
  if (in->bad || length > in->left) {
    in->bad = true;
    return NULL;
  }
  const uint8_t *bytes = in->next;
  in->next += length;
  in->left -= length;
  return bytes;
}

uint32_t in_u32(struct batch_in *in) {
  uint32_t value = 0;
  const uint8_t *bytes = in_bytes(in, sizeof value);
  if (bytes)
    memcpy(&value, bytes, sizeof value);
  return value;
}

int64_t in_signed(struct batch_in *in) {
  double value = 0;
  const uint8_t *bytes = in_bytes(in, sizeof value);
  if (bytes)
    memcpy(&value, bytes, sizeof value);
  if (value >= -EXACT_DOUBLE && value <= EXACT_DOUBLE)
    return (int64_t)value;
  in->bad = true; /* also NaN */
  return 0;
}

uint64_t in_size(struct batch_in *in) {
  int64_t value = in_signed(in);
  if (value >= 0)
    return (uint64_t)value;
  in->bad = true;
  return 0;
}

const char *in_text(struct batch_in *in, uint32_t length) {
  const uint8_t *bytes = in_bytes(in, (size_t)length + 1);
  if (bytes && memchr(bytes, 0, (size_t)length + 1) == bytes + length)
    return (const char *)bytes;
  in->bad = true;
  return "";
}

const char *in_string(struct batch_in *in, uint32_t *length) {
  uint32_t size = in_u32(in);
  const char *text = in_text(in, size);
  if (length)
    *length = in->bad ? 0 : size;
  return text;
}

uint8_t *out_space(struct batch_out *out, size_t length) {
  if (out->full)
    return NULL;
  if (length > out->room - out->length) {
    size_t room = out->room ? out->room : 4096;
    while (room - out->length < length && room <= BATCH_LIMIT)
      room *= 2;
    uint8_t *data = room > BATCH_LIMIT ? NULL : realloc(out->data, room);
    if (!data) {
      out->full = true;
      return NULL;
    }
    out->data = data;
    out->room = room;
  }
  uint8_t *space = out->data + out->length;
  out->length += length;
  return space;
}

void out_bytes(struct batch_out *out, const void *bytes, size_t length) {
  uint8_t *space = out_space(out, length);
  if (space && length)
    memcpy(space, bytes, length);
}

void out_u32(struct batch_out *out, uint32_t value) { out_bytes(out, &value, sizeof value); }

void out_f64(struct batch_out *out, double value) { out_bytes(out, &value, sizeof value); }

void out_align(struct batch_out *out) {
  static const uint8_t zeros[8];
  out_bytes(out, zeros, -out->length & 7);
}

void out_free(struct batch_out *out) {
  free(out->data);
  *out = (struct batch_out){0};
}
