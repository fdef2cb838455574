/* How a batch says what went wrong: where, errno and the object; TypeScript makes the sentence. */
#ifndef TSB_BATCH_FAILURE_H
#define TSB_BATCH_FAILURE_H

#include "bytes.h"

/* Numbers are shared with native/batch-codec.ts. */
enum batch_stage {
  BATCH_REQUEST = 1, /* the request makes no sense: a bug of the caller */
  BATCH_MEMORY = 2,
  BATCH_WALK = 3,
  BATCH_READ = 4,
  BATCH_CHANGED = 5, /* a file is not what it was when the request was made */
  BATCH_WRITE = 6,
  BATCH_REMOVE = 7,
  BATCH_ENTER = 8, /* the target directory of apply could not be made or entered */
};

struct batch_failure {
  int error;
  enum batch_stage stage;
  size_t length;
  char object[4096]; /* longer ones are cut */
};

/* Each fills `failure` and returns -1. batch_failed takes the error from errno. */
int batch_failed(struct batch_failure *failure, enum batch_stage stage, const char *object);
int batch_failed_as(struct batch_failure *failure, enum batch_stage stage, int error,
                    const char *object);
int batch_bad_request(struct batch_failure *failure, const char *what);
int batch_no_memory(struct batch_failure *failure);

/* One verb: reads the request behind its magic, appends the payload; 0, or -1 with `failure`
 * filled. */
typedef int batch_verb(struct batch_in *in, struct batch_out *out, struct batch_failure *failure);

batch_verb batch_walk, batch_assemble, batch_hash, batch_remove, batch_apply;

/* Executes `verb` and wraps what it gives as a reply. */
uint8_t *batch_run(batch_verb *verb, const uint8_t *request, size_t length, size_t *reply_length);

#endif
