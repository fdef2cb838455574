#include "relay.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void watch_relay(const struct tsb_relay *relay, struct pollfd *poll) {
  bool full = relay->start < relay->end;
  *poll = (struct pollfd){.fd = full ? relay->to : relay->from, .events = full ? POLLOUT : POLLIN};
}

static void stop(struct tsb_relay *relay) {
  if (relay->from >= 0)
    close(relay->from);
  relay->from = -1;
  relay->start = relay->end = 0;
}

static bool fill(struct tsb_relay *relay) {
  ssize_t got = read(relay->from, relay->buffer, sizeof relay->buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (got <= 0) {
    stop(relay);
    return true;
  }
  relay->start = 0;
  relay->end = (size_t)got;
  return true;
}

/* `flags`: MSG_DONTWAIT or 0. A reader that went away gets the rest of nothing: the step meets a
 * closed pipe. */
static bool deliver(struct tsb_relay *relay, int flags) {
  ssize_t sent = send(relay->to, relay->buffer + relay->start, relay->end - relay->start,
                      flags | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (sent < 0) {
    stop(relay);
    return true;
  }
  relay->start += (size_t)sent;
  return true;
}

bool pump_relay(struct tsb_relay *relay) {
  if (relay->start < relay->end)
    return deliver(relay, MSG_DONTWAIT);
  if (relay->from < 0 || !fill(relay))
    return false;
  if (relay->start < relay->end)
    deliver(relay, MSG_DONTWAIT);
  return true;
}

void drain_relay(struct tsb_relay *relay) {
  for (;;) {
    while (relay->start < relay->end)
      deliver(relay, 0);
    if (relay->from < 0 || !fill(relay))
      return;
  }
}
