/* The manager's ends of stdout and stderr are sockets, which a step can't reopen as /dev/stdout.
 * The step gets pipes, and the launcher carries the bytes over. */
#ifndef TSB_RELAY_H
#define TSB_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct tsb_relay {
  int from; /* non-blocking; -1 when there is nothing (more) to carry */
  int to;
  size_t start;
  size_t end;
  char buffer[65536];
};

/* Fills in what to wait for. */
void watch_relay(const struct tsb_relay *relay, struct pollfd *poll);

/* Moves what can be moved without blocking. Returns true if it moved or ended anything. */
bool pump_relay(struct tsb_relay *relay);

/* Delivers what is buffered and what lies in the pipe, waiting for the reader. */
void drain_relay(struct tsb_relay *relay);

#endif
