/* The batches as a program: a request on standard input, a reply on standard output. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "batch.h"
#include "cleanup.h"
#include "failure.h"

static batch_verb *find_verb(const char *name) {
  const struct {
    const char *name;
    batch_verb *verb;
  } verbs[] = {{"walk", batch_walk},
               {"assemble", batch_assemble},
               {"hash", batch_hash},
               {"remove", batch_remove},
               {"apply", batch_apply}};
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (strcmp(verbs[i].name, name) == 0)
      return verbs[i].verb;
  return NULL;
}

static int read_request(struct batch_out *request) {
  for (;;) {
    const size_t piece = 1 << 16;
    uint8_t *space = out_space(request, piece);
    if (!space)
      return -1;
    ssize_t got = read(STDIN_FILENO, space, piece);
    request->length -= piece;
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return (int)got;
    request->length += (size_t)got;
  }
}

static int write_reply(const uint8_t *reply, size_t length) {
  while (length) {
    ssize_t wrote = write(STDOUT_FILENO, reply, length);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote < 0)
      return -1;
    reply += wrote;
    length -= (size_t)wrote;
  }
  return 0;
}

int tsb_batch_main(int argc, char **argv) {
  batch_verb *verb = argc > 0 ? find_verb(argv[argc - 1]) : NULL;
  if (!verb)
    return 2;
  CLEANUP(out_free) struct batch_out request = {0};
  if (read_request(&request) < 0)
    return 1;
  size_t length = 0;
  OWNED uint8_t *reply = batch_run(verb, request.data, request.length, &length);
  return reply && write_reply(reply, length) == 0 ? 0 : 1;
}
