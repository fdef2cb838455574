/* The batch system calls: what TypeScript decided, executed in one call.
 *
 * A request and a reply are byte strings, little endian, written and read by native/batch-codec.ts.
 * No function here parses what an image, an archive or a registry said; paths of untrusted origin
 * are only ever opened beneath a directory descriptor.
 *
 *   request  u32 magic "TSB1", u32 flags, then what the verb's file documents
 *   string   u32 length, the bytes, NUL
 *   reply    u32 magic "TSB1", u32 errno, u32 stage, u32 object length, f64 bytes in all, f64 0,
 *            then the payload, or, if errno is not 0, the object the failure is about
 *
 * Sizes, offsets and times are doubles: exact up to 2^53, and one read for JavaScript. */
#ifndef TSB_BATCH_H
#define TSB_BATCH_H

#include <stddef.h>
#include <stdint.h>

#define TSB_EXPORT __attribute__((visibility("default")))

/* Each executes one request and returns a reply for tsb_free, or NULL if there is no memory for
 * one. Safe to call from any thread, any number at a time. The size of a reply is in its head. */
TSB_EXPORT uint8_t *tsb_walk(const uint8_t *request, size_t length);
TSB_EXPORT uint8_t *tsb_assemble(const uint8_t *request, size_t length);
TSB_EXPORT uint8_t *tsb_hash(const uint8_t *request, size_t length);
TSB_EXPORT uint8_t *tsb_remove(const uint8_t *request, size_t length);
TSB_EXPORT void tsb_free(uint8_t *reply);

#define TSB_DIGEST_BYTES 32

/* Of a file that grows: open (NULL without memory), then take each part in order (0 or an errno;
 * one at a time, on any thread), then close, which gives the digest of all that was taken. */
struct tsb_digest;
TSB_EXPORT struct tsb_digest *tsb_digest_open(void);
TSB_EXPORT int tsb_digest_take(struct tsb_digest *digest, int fd, double from, double to);
TSB_EXPORT void tsb_digest_close(struct tsb_digest *digest, uint8_t result[TSB_DIGEST_BYTES]);

/* `walk|assemble|hash|apply|remove` (the last argument): the request on standard input, the reply
 * on standard output. Returns the exit status: 0 if a reply was written, be it an error. */
int tsb_batch_main(int argc, char **argv);

#endif
