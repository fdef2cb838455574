/* assemble: literal bytes and pieces of files become one file, read once and hashed on the way.
 *
 *   request  flags (1: heads, 2: a digest for each file, 4: write the output), string output,
 *            roots (u32 count, strings), u32 parts, then each
 *              u32 0xffffffff, u32 length, bytes
 *              u32 root, u32 length of the path, f64 offset, f64 size, the path, NUL
 *   reply    f64 size, 32 bytes SHA-256, u32 parts, u32 digests, u32 heads, u32 0, then
 *              digests: u32 part, 32 bytes
 *              heads: u32 part, u32 length, bytes
 *
 * A piece from offset 0 must be the whole file. The output is new and disappears again on failure.
 */
#include <fcntl.h>

#include "cleanup.h"
#include "failure.h"
#include "open-beneath.h"
#include "sink.h"
#include "sources.h"
#include "whole-io.h"

#define LITERAL 0xffffffffu
#define ASSEMBLE_HEADS 1u
#define ASSEMBLE_DIGESTS 2u
#define ASSEMBLE_OUTPUT 4u
#define HEAD_BYTES 4096u

struct assembly {
  uint32_t flags;
  const char *output;
  struct sources sources;
  struct sink sink;
  struct batch_out digests, heads;
  uint32_t digest_count, head_count;
  struct batch_failure *failure;
};

struct part {
  uint32_t number;
  const char *path;
  uint64_t offset, size;
  int fd;
  struct stat st;
  SHA256_CTX sha;
};

static void assembly_free(struct assembly *assembly);
static int assemble_parts(struct assembly *assembly, struct batch_in *in, uint32_t count);
static int write_reply(struct assembly *assembly, uint32_t parts, struct batch_out *out);

int batch_assemble(struct batch_in *in, struct batch_out *out, struct batch_failure *failure) {
  CLEANUP(assembly_free) struct assembly assembly = {.failure = failure};
  sink_init(&assembly.sink, -1);
  assembly.flags = in_u32(in);
  assembly.output = in_string(in, NULL);
  if (sources_open(&assembly.sources, in, failure) < 0)
    return -1;
  uint32_t count = in_u32(in);
  if (in->bad)
    return batch_bad_request(failure, "assemble");
  if (!(assembly.flags & ASSEMBLE_OUTPUT)) {
    if (assemble_parts(&assembly, in, count) < 0)
      return -1;
    return write_reply(&assembly, count, out);
  }
  int fd = open(assembly.output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    return batch_failed(failure, BATCH_WRITE, assembly.output);
  assembly.sink.fd = fd;
  int result = assemble_parts(&assembly, in, count);
  if (result == 0)
    result = write_reply(&assembly, count, out);
  if (close(fd) < 0 && result == 0)
    result = batch_failed(failure, BATCH_WRITE, assembly.output);
  if (result < 0)
    unlink(assembly.output);
  return result;
}

static void assembly_free(struct assembly *assembly) {
  sources_free(&assembly->sources);
  sink_free(&assembly->sink);
  out_free(&assembly->digests);
  out_free(&assembly->heads);
}

static int add_file(struct assembly *assembly, struct part *part, uint32_t root);

static int write_failed(struct assembly *assembly) {
  if (errno == ENOMEM)
    return batch_no_memory(assembly->failure);
  return batch_failed(assembly->failure, BATCH_WRITE, assembly->output);
}

static int assemble_parts(struct assembly *assembly, struct batch_in *in, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t root = in_u32(in), length = in_u32(in);
    if (root == LITERAL) {
      const uint8_t *bytes = in_bytes(in, length);
      if (!bytes)
        return batch_bad_request(assembly->failure, "literal");
      if (sink_bytes(&assembly->sink, bytes, length) < 0)
        return write_failed(assembly);
      continue;
    }
    struct part part = {.number = i, .offset = in_size(in), .size = in_size(in)};
    part.path = in_text(in, length);
    if (in->bad)
      return batch_bad_request(assembly->failure, "part");
    if (add_file(assembly, &part, root) < 0)
      return -1;
  }
  return 0;
}

static int changed(struct assembly *assembly, const struct part *part) {
  return batch_failed_as(assembly->failure, BATCH_CHANGED, ESTALE, part->path);
}

static int add_data(struct assembly *assembly, struct part *part, uint64_t from, uint64_t end);

static int add_hole(struct assembly *assembly, struct part *part, uint64_t length) {
  if (assembly->flags & ASSEMBLE_DIGESTS)
    sha256_zeros(&part->sha, length);
  return sink_zeros(&assembly->sink, length) < 0 ? write_failed(assembly) : 0;
}

static int add_file(struct assembly *assembly, struct part *part, uint32_t root) {
  OWNED_FD fd = source_file(&assembly->sources, root, part->path, &part->st, assembly->failure);
  if (fd < 0)
    return -1;
  part->fd = fd;
  uint64_t end = part->offset + part->size, file_size = (uint64_t)part->st.st_size;
  if (part->offset ? file_size < end : file_size != end)
    return changed(assembly, part);
  bool digest = assembly->flags & ASSEMBLE_DIGESTS;
  if (digest)
    SHA256_Init(&part->sha);
  for (uint64_t at = part->offset; at < end;) {
    bool hole;
    uint64_t next = source_extent(fd, &part->st, at, end, &hole);
    int added = hole ? add_hole(assembly, part, next - at) : add_data(assembly, part, at, next);
    if (added < 0)
      return -1;
    at = next;
  }
  /* What one read gives is as good as atomic; longer ones may meet a writer. */
  if (part->size > HEAD_BYTES && source_touched(fd, &part->st))
    return changed(assembly, part);
  if (digest) {
    out_u32(&assembly->digests, part->number);
    uint8_t *space = out_space(&assembly->digests, SHA256_BYTES);
    if (!space)
      return batch_no_memory(assembly->failure);
    SHA256_Final(space, &part->sha);
    assembly->digest_count++;
  }
  return 0;
}

static void keep_head(struct assembly *assembly, uint32_t part, const uint8_t *bytes,
                      size_t length) {
  if (length < 2 || (memcmp(bytes, "#!", 2) && (length < 4 || memcmp(bytes,
                                                                     "\x7f"
                                                                     "ELF",
                                                                     4))))
    return;
  if (length > HEAD_BYTES)
    length = HEAD_BYTES;
  out_u32(&assembly->heads, part);
  out_u32(&assembly->heads, (uint32_t)length);
  out_bytes(&assembly->heads, bytes, length);
  assembly->head_count++;
}

static int add_data(struct assembly *assembly, struct part *part, uint64_t from, uint64_t end) {
  for (uint64_t at = from; at < end;) {
    size_t room;
    uint8_t *space = sink_space(&assembly->sink, &room);
    if (!space)
      return write_failed(assembly);
    if (room > end - at)
      room = (size_t)(end - at);
    ssize_t got = read_fully(part->fd, space, room, at);
    if (got < 0)
      return batch_failed(assembly->failure, BATCH_READ, part->path);
    if ((size_t)got < room)
      return changed(assembly, part);
    if (assembly->flags & ASSEMBLE_DIGESTS)
      SHA256_Update(&part->sha, space, room);
    if (at == part->offset && (assembly->flags & ASSEMBLE_HEADS))
      keep_head(assembly, part->number, space, room);
    sink_filled(&assembly->sink, room);
    at += room;
  }
  return 0;
}

static int write_reply(struct assembly *assembly, uint32_t parts, struct batch_out *out) {
  uint8_t digest[SHA256_BYTES];
  uint64_t size;
  if (sink_finish(&assembly->sink, digest, &size) < 0)
    return write_failed(assembly);
  if (assembly->digests.full || assembly->heads.full)
    return batch_no_memory(assembly->failure);
  out_f64(out, (double)size);
  out_bytes(out, digest, sizeof digest);
  out_u32(out, parts);
  out_u32(out, assembly->digest_count);
  out_u32(out, assembly->head_count);
  out_u32(out, 0);
  out_bytes(out, assembly->digests.data, assembly->digests.length);
  out_bytes(out, assembly->heads.data, assembly->heads.length);
  return out->full ? batch_no_memory(assembly->failure) : 0;
}
