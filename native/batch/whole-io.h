/* pread(2) and pwrite(2), past signals and short counts; -1 and errno. */
#ifndef TSB_BATCH_WHOLE_IO_H
#define TSB_BATCH_WHOLE_IO_H

#include <stdint.h>
#include <sys/types.h>

/* Until `length` bytes or the end of the file. */
ssize_t read_fully(int fd, uint8_t *buffer, size_t length, uint64_t offset);
int write_fully(int fd, const uint8_t *data, size_t length, uint64_t offset);

#endif
