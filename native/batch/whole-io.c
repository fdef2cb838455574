#include "whole-io.h"

#include <errno.h>
#include <unistd.h>

ssize_t read_fully(int fd, uint8_t *buffer, size_t length, uint64_t offset) {
  size_t done = 0;
  while (done < length) {
    ssize_t got = pread(fd, buffer + done, length - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

int write_fully(int fd, const uint8_t *data, size_t length, uint64_t offset) {
  while (length) {
    ssize_t wrote = pwrite(fd, data, length, (off_t)offset);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote < 0)
      return -1;
    data += wrote;
    length -= (size_t)wrote;
    offset += (uint64_t)wrote;
  }
  return 0;
}
