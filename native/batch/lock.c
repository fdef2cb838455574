/* flock(2), which Node does not offer. */
#include <errno.h>
#include <sys/file.h>

#include "batch.h"

int tsb_lock(int fd, int mode) {
  static const int modes[] = {LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB, LOCK_UN};
  if (mode < 0 || mode > 2)
    return EINVAL;
  while (flock(fd, modes[mode]) < 0)
    if (errno != EINTR)
      return errno;
  return 0;
}
