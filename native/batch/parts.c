#include "parts.h"

#include <stdlib.h>

#include "ring.h"

#define LITERAL 0xffffffffu
#define MEMBER 0xfffffffeu
#define ZEROS 0xfffffffdu

static void read_file(struct part *part, struct batch_in *in, uint32_t root) {
  part->kind = PART_FILE;
  part->root = root;
  uint32_t length = in_u32(in);
  part->offset = in_size(in);
  part->length = in_size(in);
  part->path = in_text(in, length);
}

void part_read(struct part *part, struct batch_in *in) {
  uint32_t kind = in_u32(in);
  switch (kind) {
  case LITERAL:
    part->kind = PART_LITERAL;
    part->length = in_u32(in);
    part->literal = in_bytes(in, part->length);
    break;
  case ZEROS:
    part->kind = PART_ZEROS;
    part->length = in_size(in);
    break;
  case MEMBER:
    part->kind = PART_MEMBER;
    tar_member_read(&part->member, in);
    part->length = part->member.header_bytes;
    break;
  default:
    read_file(part, in, kind);
  }
}

static struct segment *add_segment(struct segments *segments) {
  if (segments->count == segments->room) {
    size_t room = segments->room ? segments->room * 2 : 64;
    struct segment *list = realloc(segments->list, room * sizeof *list);
    if (!list)
      return NULL;
    segments->list = list;
    segments->room = room;
  }
  struct segment *segment = &segments->list[segments->count++];
  *segment = (struct segment){.offset = segments->length, .chunk = segments->chunks};
  return segment;
}

/* Headers are made as a whole, everything else can be cut. */
static uint64_t chunks_for(const struct part *part) {
  if (part->kind == PART_MEMBER || part->length <= CHUNK_BYTES)
    return 1;
  return (part->length + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

int segments_plan(struct segments *segments, struct batch_in in, uint32_t parts,
                  struct batch_failure *failure) {
  struct segment *open = NULL;
  for (uint32_t i = 0; i < parts; i++) {
    struct batch_in start = in;
    struct part part;
    part_read(&part, &in);
    if (in.bad)
      return batch_bad_request(failure, "part");
    if (!open || open->length + part.length > CHUNK_BYTES) {
      if (!(open = add_segment(segments)))
        return batch_no_memory(failure);
      open->in = start;
      open->first = i;
      open->chunks = chunks_for(&part);
      segments->chunks += open->chunks;
    }
    open->parts++;
    open->length += part.length;
    segments->length += part.length;
  }
  return in.left ? batch_bad_request(failure, "parts") : 0;
}
