/* Descriptors and memory that are released when their variable goes out of scope. */
#ifndef TSB_CLEANUP_H
#define TSB_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void close_descriptor(int *descriptor) {
  if (*descriptor >= 0)
    close(*descriptor);
}

static inline void free_memory(void *pointer) { free(*(void **)pointer); }

#define TSB_FD __attribute__((cleanup(close_descriptor))) int
#define TSB_FREE __attribute__((cleanup(free_memory)))

#endif
