/* What the launcher tells the manager on the status descriptor.
 * Each record: u32 length (little endian), then that many bytes of NUL-ended fields:
 *   ready
 *   exit     wait status, user µs, system µs, maximal resident KiB
 *   failure  stage, errno, object, detail */
#ifndef TSB_STATUS_H
#define TSB_STATUS_H

#include "step.h"

void send_ready(int descriptor);
void send_exit(int descriptor, int wait_status, const struct rusage *usage);
void send_failure(int descriptor, const struct tsb_report *report);

#endif
