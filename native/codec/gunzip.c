/* ISA-L inflates nearly twice as fast as zlib. What comes out is the same whoever inflates, so this
 * engine may be the host's, or missing: then node's zlib does it. */
#include "codec.h"

#include <dlfcn.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <stdlib.h>

#define LIBRARY "libisal.so.2"

enum place { IN_MEMBER, BETWEEN_MEMBERS, IN_PADDING };

struct gunzip {
  struct inflate_state state;
  enum place place;
  void *library;
  int (*inflate)(struct inflate_state *);
  void (*reset)(struct inflate_state *);
};

static bool bind(struct gunzip *gunzip);
static void next_member(struct gunzip *gunzip);

void *tsb_gunzip_open(void) {
  struct gunzip *gunzip = calloc(1, sizeof *gunzip);
  if (!gunzip)
    return NULL;
  if (!bind(gunzip)) {
    tsb_gunzip_close(gunzip);
    return NULL;
  }
  next_member(gunzip);
  return gunzip;
}

static bool bind(struct gunzip *gunzip) {
  gunzip->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!gunzip->library)
    return false;
  void *init = dlsym(gunzip->library, "isal_inflate_init");
  void *inflate = dlsym(gunzip->library, "isal_inflate");
  void *reset = dlsym(gunzip->library, "isal_inflate_reset");
  if (!init || !inflate || !reset)
    return false;
  ((void (*)(struct inflate_state *))init)(&gunzip->state);
  gunzip->inflate = (int (*)(struct inflate_state *))inflate;
  gunzip->reset = (void (*)(struct inflate_state *))reset;
  return true;
}

static void next_member(struct gunzip *gunzip) {
  gunzip->reset(&gunzip->state);
  gunzip->state.crc_flag = ISAL_GZIP;
  gunzip->place = IN_MEMBER;
}

void tsb_gunzip_close(void *decoder) {
  struct gunzip *gunzip = decoder;
  if (gunzip->library)
    dlclose(gunzip->library);
  free(gunzip);
}

int tsb_gunzip_step(void *decoder, const uint8_t *input, size_t size, uint8_t *output,
                    size_t capacity, struct tsb_progress *progress) {
  struct gunzip *gunzip = decoder;
  struct inflate_state *state = &gunzip->state;
  state->next_in = (uint8_t *)input;
  state->avail_in = (uint32_t)size;
  state->next_out = output;
  state->avail_out = (uint32_t)capacity;
  int code = ISAL_DECOMP_OK;
  for (;;) {
    /* A zero where a member could begin is padding, of which tapes have some. */
    if (gunzip->place == BETWEEN_MEMBERS && state->avail_in > 0) {
      if (*state->next_in == 0)
        gunzip->place = IN_PADDING;
      else
        next_member(gunzip);
    }
    if (gunzip->place != IN_MEMBER)
      break;
    uint32_t before = state->avail_in + state->avail_out;
    code = gunzip->inflate(state);
    if (code < 0 || code == ISAL_NEED_DICT)
      break;
    if (state->block_state == ISAL_BLOCK_FINISH)
      gunzip->place = BETWEEN_MEMBERS;
    else if (state->avail_in + state->avail_out == before || state->avail_out == 0)
      break;
  }
  if (gunzip->place == IN_PADDING)
    state->avail_in = 0;
  progress->read = (double)(size - state->avail_in);
  progress->written = (double)(capacity - state->avail_out);
  if (code < 0)
    return code;
  if (code == ISAL_NEED_DICT)
    return ISAL_INVALID_WRAPPER;
  return gunzip->place != IN_MEMBER;
}

const char *tsb_gunzip_fault(int code) {
  switch (code) {
  case ISAL_INVALID_WRAPPER:
  case ISAL_UNSUPPORTED_METHOD:
    return "incorrect header";
  case ISAL_INCORRECT_CHECKSUM:
    return "incorrect checksum";
  default:
    return "invalid compressed data";
  }
}
