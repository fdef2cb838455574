/* tsbuild-launcher: everything that must happen in a fresh, single-threaded process. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "keeper.h"
#include "step.h"

/* The batch commands live in native/batch. */
int tsb_batch_main(int argc, char **argv) __attribute__((weak));

static int run_batch(int argc, char **argv) {
  if (tsb_batch_main == NULL) {
    fprintf(stderr, "tsbuild-launcher: built without batch commands\n");
    return 125;
  }
  return tsb_batch_main(argc, argv);
}

static int usage(void) {
  fprintf(stderr,
          "usage: tsbuild-launcher [--userns=PATH] run|probe|walk|assemble|apply|remove ...\n"
          "       tsbuild-launcher hold|keep ...\n");
  return 125;
}

int main(int argc, char **argv) {
  static const char option[] = "--userns=";
  int command = 1;
  umask(0); /* modes are given exactly; a step gets its own */
  if (argc > 1 && strncmp(argv[1], option, sizeof option - 1) == 0) {
    if (join_userns(argv[1] + sizeof option - 1) < 0)
      return 125;
    command = 2;
  }
  if (argc <= command)
    return usage();
  if (strcmp(argv[command], "run") == 0)
    return run_step(argv);
  if (strcmp(argv[command], "hold") == 0)
    return hold_userns(argc - command - 1, argv + command + 1);
  if (strcmp(argv[command], "keep") == 0)
    return keep_mounts();
  if (strcmp(argv[command], "probe") == 0)
    return probe_index(argc - command - 1, argv + command + 1);
  return run_batch(argc, argv);
}
