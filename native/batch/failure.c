#include "failure.h"

#include <errno.h>
#include <stdlib.h>

#include "batch.h"

static void write_head(struct batch_out *out, const struct batch_failure *failure) {
  uint32_t words[4] = {BATCH_MAGIC, (uint32_t)failure->error, failure->stage,
                       (uint32_t)failure->length};
  double total = (double)out->length;
  memcpy(out->data, words, sizeof words);
  memcpy(out->data + sizeof words, &total, sizeof total);
}

uint8_t *batch_run(batch_verb *verb, const uint8_t *request, size_t length, size_t *reply_length) {
  struct batch_in in = {.next = request, .left = length};
  struct batch_out out = {0};
  struct batch_failure failure = {0};
  uint8_t *head = out_space(&out, BATCH_HEAD);
  if (!head)
    return NULL;
  memset(head, 0, BATCH_HEAD);
  int result = in_u32(&in) == BATCH_MAGIC ? verb(&in, &out, &failure)
                                          : batch_bad_request(&failure, "no magic");
  if (result == 0 && out.full)
    result = batch_no_memory(&failure);
  if (result < 0) {
    out.length = BATCH_HEAD; /* there is room for the object: the first allocation is 4096 */
    out.full = false;
    out_bytes(&out, failure.object, failure.length);
    if (out.full)
      failure.length = 0;
  }
  write_head(&out, &failure);
  if (reply_length)
    *reply_length = out.length;
  return out.data;
}

int batch_failed_as(struct batch_failure *failure, enum batch_stage stage, int error,
                    const char *object) {
  failure->error = error ? error : EIO;
  failure->stage = stage;
  failure->length = strnlen(object, sizeof failure->object);
  memcpy(failure->object, object, failure->length);
  return -1;
}

int batch_failed(struct batch_failure *failure, enum batch_stage stage, const char *object) {
  return batch_failed_as(failure, stage, errno, object);
}

int batch_bad_request(struct batch_failure *failure, const char *what) {
  return batch_failed_as(failure, BATCH_REQUEST, EINVAL, what);
}

int batch_no_memory(struct batch_failure *failure) {
  return batch_failed_as(failure, BATCH_MEMORY, ENOMEM, "");
}

uint8_t *tsb_walk(const uint8_t *request, size_t length) {
  return batch_run(batch_walk, request, length, NULL);
}

uint8_t *tsb_assemble(const uint8_t *request, size_t length) {
  return batch_run(batch_assemble, request, length, NULL);
}

uint8_t *tsb_hash(const uint8_t *request, size_t length) {
  return batch_run(batch_hash, request, length, NULL);
}

uint8_t *tsb_remove(const uint8_t *request, size_t length) {
  return batch_run(batch_remove, request, length, NULL);
}

void tsb_free(uint8_t *reply) { free(reply); }
