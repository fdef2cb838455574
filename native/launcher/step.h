/* What the parts of one `run` share. The parent lives outside the step's namespaces, the child is
 * their pid 1. */
#ifndef TSB_STEP_H
#define TSB_STEP_H

#include <sys/resource.h>
#include <sys/stat.h>

#include "report.h"
#include "scratch.h"
#include "spec.h"

/* A page that parent and child both see: the only way back once the child is confined. */
struct tsb_shared {
  struct tsb_report report;
  int ended;       /* the step's first process ended: `status` and `usage` are its */
  int wait_status; /* as waitpid(2) gives it */
  struct rusage usage;
};

/* What a stack of the spec is made of. */
struct tsb_material {
  int *layers; /* detached mounts, base first */
  struct tsb_scratch scratch;
};

struct tsb_step {
  char **argv; /* of this process */
  struct tsb_spec spec;
  struct tsb_shared *shared;
  struct tsb_material *materials; /* in the order of spec.stacks */
  int host_sys; /* detached mount of the host's /sys for steps on the host's network, else -1 */
  int go_read;  /* the parent writes a byte when maps, cgroups and mounts are ready */
  int go_write;
  int started_read; /* closed by execve: the step runs */
  int started_write;
  int stdout_read; /* pipes towards the manager's sockets, -1 where none is needed */
  int stderr_read;
};

/* Runs the step described on descriptor 3, reporting on descriptor 4. Returns the exit status. */
int run_step(char **argv);

/* Opens all that the step stands on and starts its child. Returns the child, running, or -1. */
pid_t start_child(struct tsb_step *step);

/* The child: builds the root, starts the program, reaps. Never returns. */
__attribute__((noreturn)) void run_child(struct tsb_step *step);

/* What pid 1 sends to the step's first process when it has entered the root. */
struct tsb_root_id {
  dev_t device;
  ino_t inode;
};

/* The step's first process: confines itself, waits for the root on `ready` and becomes the program.
 * Never returns. */
__attribute__((noreturn)) void become_program(struct tsb_step *step, int ready);

/* Pid 1: reaps, forwards signals to `program`'s group, ends with it. Never returns. */
__attribute__((noreturn)) void reap_until_end(struct tsb_step *step, pid_t program);

#endif
