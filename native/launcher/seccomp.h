/* The system call filter of steps, compiled when the launcher is built. */
#ifndef TSB_SECCOMP_H
#define TSB_SECCOMP_H

#include "report.h"

/* Installs the filter on this process for good. Needs CAP_SYS_ADMIN. Returns 0 or -1. */
int install_seccomp(struct tsb_report *report);

#endif
