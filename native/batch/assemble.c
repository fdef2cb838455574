/* assemble: literal bytes, headers and pieces of files become one file, read once and hashed on the
 * way.
 *
 *   request  flags (1: heads, 2: a digest for each file, 4: write the output), u32 parts, f64 bytes
 *            of them, each part, string output, roots (u32 count, strings). Parts:
 *              literal  u32 0xffffffff, u32 length, bytes
 *              zeros    u32 0xfffffffd, f64 length
 *              member   u32 0xfffffffe, then as tar_member_read reads it
 *              file     u32 root, u32 length of the path, f64 offset, f64 size, the path, NUL
 *   reply    f64 size, 32 bytes SHA-256, u32 parts, u32 digests, u32 heads, u32 0, then, in any
 *            order,
 *              digests: u32 part, 32 bytes
 *              heads: u32 part, u32 length, bytes
 *
 * A piece from offset 0 must be the whole file. The output is new and disappears again on failure;
 * runs of zeros become holes in it. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include "cleanup.h"
#include "fill.h"

#define ASSEMBLE_HEADS 1u
#define ASSEMBLE_DIGESTS 2u
#define ASSEMBLE_OUTPUT 4u
/* So few segments are filled before a second thread is there. */
#define ALONE_SEGMENTS 3u

struct assembly {
  uint32_t parts;
  struct filling filling;
  struct filler fillers[2];
};

static void assembly_free(struct assembly *assembly) {
  ring_free(&assembly->filling.ring);
  free(assembly->filling.segments.list);
  filler_free(&assembly->fillers[1]);
  sources_free(&assembly->fillers[0].sources);
  assembly->fillers[0].sources = (struct sources){.dir = -1};
  filler_free(&assembly->fillers[0]);
}

static int assembly_read(struct assembly *assembly, struct batch_in *in, uint32_t flags,
                         struct batch_failure *failure) {
  struct filling *filling = &assembly->filling;
  assembly->parts = in_u32(in);
  size_t length = in_size(in);
  struct batch_in parts = {.next = in_bytes(in, length), .left = length};
  filling->output = in_string(in, NULL);
  if (in->bad)
    return batch_bad_request(failure, "assemble");
  if (sources_open(&assembly->fillers[0].sources, in, failure) < 0)
    return -1;
  sources_share(&assembly->fillers[1].sources, &assembly->fillers[0].sources);
  filling->with_heads = flags & ASSEMBLE_HEADS;
  filling->with_digests = flags & ASSEMBLE_DIGESTS;
  return segments_plan(&filling->segments, parts, assembly->parts, failure);
}

static void *filler_thread(void *filler) {
  fill_segments(filler);
  return NULL;
}

static bool has_second_cpu(void) {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 1;
}

/* Most of the time goes into opening files, which the kernel does for two threads at once. Signals
 * belong to the process's other threads. */
static bool start_second(struct assembly *assembly, pthread_t *thread) {
  if (!assembly->filling.ring.threaded || assembly->filling.segments.count <= ALONE_SEGMENTS ||
      !has_second_cpu())
    return false;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  bool started = pthread_create(thread, NULL, filler_thread, &assembly->fillers[1]) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return started;
}

static int fill_all(struct assembly *assembly, struct batch_failure *failure) {
  pthread_t second;
  bool two = start_second(assembly, &second);
  fill_segments(&assembly->fillers[0]);
  if (two)
    pthread_join(second, NULL);
  bool failed = false;
  for (size_t i = 0; i < 2; i++) {
    struct filler *filler = &assembly->fillers[i];
    failed |= filler->result < 0;
    if (filler->failure.stage)
      *failure = filler->failure;
    if (filler->digests.full || filler->heads.full)
      return batch_no_memory(failure);
  }
  return failed ? -1 : 0;
}

static int write_reply(struct assembly *assembly, struct batch_out *out,
                       struct batch_failure *failure) {
  const struct filler *one = &assembly->fillers[0], *two = &assembly->fillers[1];
  uint8_t digest[SHA256_BYTES];
  ring_finish(&assembly->filling.ring, digest);
  out_f64(out, (double)assembly->filling.segments.length);
  out_bytes(out, digest, sizeof digest);
  out_u32(out, assembly->parts);
  out_u32(out, one->digest_count + two->digest_count);
  out_u32(out, one->head_count + two->head_count);
  out_u32(out, 0);
  out_bytes(out, one->digests.data, one->digests.length);
  out_bytes(out, two->digests.data, two->digests.length);
  out_bytes(out, one->heads.data, one->heads.length);
  out_bytes(out, two->heads.data, two->heads.length);
  return out->full ? batch_no_memory(failure) : 0;
}

static int assemble(struct assembly *assembly, struct batch_out *out,
                    struct batch_failure *failure) {
  struct filling *filling = &assembly->filling;
  if (fill_all(assembly, failure) < 0)
    return -1;
  /* It may end with a hole. */
  if (filling->fd >= 0 && ftruncate(filling->fd, (off_t)filling->segments.length) < 0)
    return batch_failed(failure, BATCH_WRITE, filling->output);
  return write_reply(assembly, out, failure);
}

int batch_assemble(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  CLEANUP(assembly_free) struct assembly assembly = {.filling.fd = -1};
  for (size_t i = 0; i < 2; i++) {
    assembly.fillers[i].filling = &assembly.filling;
    assembly.fillers[i].sources.dir = -1;
  }
  uint32_t flags = in_u32(in);
  int planned = assembly_read(&assembly, in, flags, failure);
  ring_start(&assembly.filling.ring, planned < 0 ? 0 : assembly.filling.segments.chunks);
  if (planned < 0)
    return -1;
  if (!(flags & ASSEMBLE_OUTPUT))
    return assemble(&assembly, out, failure);
  const char *output = assembly.filling.output;
  assembly.filling.fd = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (assembly.filling.fd < 0)
    return batch_failed(failure, BATCH_WRITE, output);
  int result = assemble(&assembly, out, failure);
  if (close(assembly.filling.fd) < 0 && result == 0)
    result = batch_failed(failure, BATCH_WRITE, output);
  if (result < 0)
    unlink(output);
  return result;
}
