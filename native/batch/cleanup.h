/* Resources that are given back wherever the block ends. */
#ifndef TSB_BATCH_CLEANUP_H
#define TSB_BATCH_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void batch_close_fd(const int *fd) {
  if (*fd >= 0)
    close(*fd);
}

static inline void batch_free_pointer(void *pointer) { free(*(void **)pointer); }

#define CLEANUP(function) __attribute__((cleanup(function)))
#define OWNED_FD CLEANUP(batch_close_fd) int
#define OWNED CLEANUP(batch_free_pointer)

#endif
