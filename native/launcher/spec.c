/* Format, written by step-spec.ts:
 *   u32 length of all that follows, then records: one tag byte, u32 length, payload.
 * All numbers little endian. A payload is a list of fields, each ended by NUL; numbers are decimal.
 * The bytes of a 'bytes' mount follow its fields and may hold anything. */
#include "spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "limits.h"

struct cursor {
  char *at;
  char *end;
};

struct record {
  char tag;
  struct cursor fields;
};

static int read_exactly(int descriptor, char *buffer, size_t length) {
  while (length > 0) {
    ssize_t got = read(descriptor, buffer, length);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0) {
      errno = EPIPE;
      return -1;
    }
    buffer += got;
    length -= (size_t)got;
  }
  return 0;
}

static uint32_t little_endian(const char *at) {
  const unsigned char *byte = (const unsigned char *)at;
  return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
         (uint32_t)byte[3] << 24;
}

/* 1 with *record filled, 0 at the end, -1 when the bytes are no record. */
static int next_record(struct cursor *all, struct record *record) {
  if (all->at == all->end)
    return 0;
  if (all->end - all->at < 5)
    return -1;
  size_t length = little_endian(all->at + 1);
  if (length > (size_t)(all->end - all->at) - 5)
    return -1;
  record->tag = all->at[0];
  record->fields = (struct cursor){.at = all->at + 5, .end = all->at + 5 + length};
  all->at += 5 + length;
  return 1;
}

static bool take_text(struct cursor *fields, const char **text) {
  char *end = memchr(fields->at, '\0', (size_t)(fields->end - fields->at));
  if (end == NULL)
    return false;
  *text = fields->at;
  fields->at = end + 1;
  return true;
}

static bool take_number(struct cursor *fields, uint64_t limit, uint64_t *number) {
  const char *text;
  if (!take_text(fields, &text) || *text < '0' || *text > '9')
    return false;
  char *end;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return errno == 0 && *end == '\0' && *number <= limit;
}

static bool take_id(struct cursor *fields, uint32_t *id) {
  uint64_t number;
  if (!take_number(fields, UINT32_MAX - 1, &number))
    return false; /* -1 means "unchanged" */
  *id = (uint32_t)number;
  return true;
}

static bool is_clean_target(const char *path) {
  if (path[0] != '/' || path[1] == '\0')
    return false;
  for (const char *at = path; *at != '\0';) {
    size_t length = strcspn(at + 1, "/");
    if (length == 0 || (length == 1 && at[1] == '.'))
      return false;
    if (length == 2 && at[1] == '.' && at[2] == '.')
      return false;
    at += 1 + length;
  }
  return strlen(path) < PATH_MAX;
}

/* The layers and hidden paths that follow are this stack's. */
static bool take_stack(struct cursor *fields, struct tsb_spec *spec) {
  const char *scratch;
  if (!take_text(fields, &scratch) || (scratch[0] != '/' && scratch[0] != '\0'))
    return false;
  struct tsb_stack *stack = &spec->stacks[spec->stack_count];
  const struct tsb_stack *before = spec->stack_count > 0 ? stack - 1 : NULL;
  stack->layers = before ? before->layers + before->layer_count : spec->layers;
  stack->hidden = before ? before->hidden + before->hidden_count : spec->hidden;
  stack->scratch = scratch[0] == '\0' ? NULL : scratch;
  spec->stack_count++;
  return true;
}

static bool take_switch(struct cursor *fields, bool *on) {
  uint64_t value;
  if (!take_number(fields, 1, &value))
    return false;
  *on = value == 1;
  return true;
}

static bool take_layer_fields(struct cursor *fields, struct tsb_layer *layer) {
  const char *kind;
  uint64_t kept;
  layer->kept = -1;
  if (!take_text(fields, &kind) || !take_text(fields, &layer->path))
    return false;
  if (strcmp(kind, "tree") == 0)
    return take_switch(fields, &layer->owner_is_root);
  if (strcmp(kind, "index") != 0 || !take_text(fields, &layer->tar))
    return false;
  if (fields->at == fields->end)
    return true;
  if (!take_number(fields, INT32_MAX, &kept))
    return false;
  layer->kept = (int)kept;
  return true;
}

static bool take_layer_record(struct cursor *fields, struct tsb_spec *spec) {
  if (spec->stack_count == 0)
    return false;
  struct tsb_stack *stack = &spec->stacks[spec->stack_count - 1];
  if (stack->layer_count == TSB_MAX_LAYERS)
    return false;
  return take_layer_fields(fields, &stack->layers[stack->layer_count++]);
}

static bool take_hidden(struct cursor *fields, struct tsb_spec *spec) {
  if (spec->stack_count == 0)
    return false;
  struct tsb_stack *stack = &spec->stacks[spec->stack_count - 1];
  const char **path = &stack->hidden[stack->hidden_count++];
  return stack->layer_count == 1 && take_text(fields, path) && (*path)[0] != '\0';
}

static bool take_limit(struct cursor *fields, struct tsb_limit *limit) {
  uint64_t soft;
  uint64_t hard;
  if (!take_text(fields, &limit->name))
    return false;
  limit->resource = find_resource(limit->name);
  if (!take_number(fields, UINT64_MAX, &soft) || !take_number(fields, UINT64_MAX, &hard))
    return false;
  limit->value = (struct rlimit){.rlim_cur = soft, .rlim_max = hard};
  return limit->resource >= 0;
}

static bool take_keeper(struct cursor *fields, pid_t *keeper) {
  uint64_t process;
  if (!take_number(fields, INT32_MAX, &process))
    return false;
  *keeper = (pid_t)process;
  return true;
}

static bool take_bind(struct cursor *fields, struct tsb_mount *mount) {
  if (!take_text(fields, &mount->root) || !take_text(fields, &mount->path))
    return false;
  if (!take_switch(fields, &mount->readonly) || !take_switch(fields, &mount->owner_is_root))
    return false;
  mount->kind = TSB_MOUNT_BIND;
  return mount->root[0] == '/';
}

static bool take_stack_part(struct cursor *fields, const struct tsb_spec *spec,
                            struct tsb_mount *mount) {
  uint64_t stack;
  if (!take_number(fields, TSB_MAX_STACKS, &stack) || !take_text(fields, &mount->path))
    return false;
  mount->kind = TSB_MOUNT_STACK;
  mount->stack = (size_t)stack + 1; /* the manager doesn't count the root's */
  return mount->stack < spec->stack_count;
}

static bool take_owner(struct cursor *fields, struct tsb_mount *mount) {
  uint64_t mode;
  if (!take_number(fields, 07777, &mode))
    return false;
  mount->mode = (mode_t)mode;
  return take_id(fields, &mount->uid) && take_id(fields, &mount->gid);
}

static bool take_socket(struct cursor *fields, struct tsb_mount *mount) {
  mount->kind = TSB_MOUNT_SOCKET;
  mount->is_file = true;
  return take_text(fields, &mount->path) && mount->path[0] == '/' && take_owner(fields, mount);
}

static bool take_bytes(struct cursor *fields, struct tsb_mount *mount) {
  if (!take_owner(fields, mount))
    return false;
  mount->kind = TSB_MOUNT_BYTES;
  mount->is_file = true;
  mount->bytes = fields->at;
  mount->byte_count = (size_t)(fields->end - fields->at);
  fields->at = fields->end;
  return true;
}

static bool take_mount(struct cursor *fields, const struct tsb_spec *spec,
                       struct tsb_mount *mount) {
  const char *kind;
  mount->source = -1;
  if (!take_text(fields, &kind) || !take_text(fields, &mount->target))
    return false;
  if (!is_clean_target(mount->target))
    return false;
  if (strcmp(kind, "bind") == 0)
    return take_bind(fields, mount);
  if (strcmp(kind, "stack") == 0)
    return take_stack_part(fields, spec, mount);
  if (strcmp(kind, "socket") == 0)
    return take_socket(fields, mount);
  if (strcmp(kind, "bytes") == 0)
    return take_bytes(fields, mount);
  if (strcmp(kind, "tmpfs") != 0)
    return false;
  mount->kind = TSB_MOUNT_TMPFS;
  return take_number(fields, UINT64_MAX, &mount->size_bytes) &&
         take_switch(fields, &mount->readonly);
}

static bool take_network(struct cursor *fields, bool *host) {
  const char *mode;
  if (!take_text(fields, &mode))
    return false;
  *host = strcmp(mode, "host") == 0;
  return *host || strcmp(mode, "none") == 0;
}

static bool take_record(struct record *record, struct tsb_spec *spec) {
  struct cursor *fields = &record->fields;
  switch (record->tag) {
  case 'D':
  case 'T':
    return (record->tag == 'D') == (spec->stack_count == 0) && take_stack(fields, spec);
  case 'L':
    return take_layer_record(fields, spec);
  case 'X':
    return take_hidden(fields, spec);
  case 'M':
    return take_mount(fields, spec, &spec->mounts[spec->mount_count++]);
  case 'R':
    return take_limit(fields, &spec->limits[spec->limit_count++]);
  case 'P':
    return take_switch(fields, &spec->unconfined);
  case 'A':
    return take_text(fields, &spec->args[spec->arg_count++]);
  case 'E':
    return take_text(fields, &spec->env[spec->env_count++]);
  case 'C':
    return take_text(fields, &spec->cgroups[spec->cgroup_count++]);
  case 'G':
    return take_id(fields, &spec->groups[spec->group_count++]);
  case 'K':
    return take_keeper(fields, &spec->keeper);
  case 'U':
    return take_id(fields, &spec->uid) && take_id(fields, &spec->gid);
  case 'W':
    return take_text(fields, &spec->cwd) && spec->cwd[0] == '/';
  case 'H':
    return take_text(fields, &spec->hostname);
  case 'N':
    return take_network(fields, &spec->host_network);
  case 'S':
    return take_number(fields, UINT64_MAX, &spec->shm_bytes);
  default:
    return false;
  }
}

/* Makes room for as many of each list as there are records; false when a limit is passed. */
static bool reserve_lists(struct cursor all, struct tsb_spec *spec) {
  size_t counts[256] = {0};
  struct record record;
  int more;
  while ((more = next_record(&all, &record)) > 0)
    counts[(unsigned char)record.tag]++;
  const size_t stacks = counts['D'] + counts['T'];
  if (more < 0 || stacks > TSB_MAX_STACKS || counts['L'] > stacks * TSB_MAX_LAYERS ||
      counts['X'] > TSB_MAX_HIDDEN || counts['M'] > TSB_MAX_MOUNTS)
    return false;
  spec->stacks = calloc(stacks + 1, sizeof *spec->stacks);
  spec->layers = calloc(counts['L'] + 1, sizeof *spec->layers);
  spec->hidden = calloc(counts['X'] + 1, sizeof *spec->hidden);
  spec->mounts = calloc(counts['M'] + 1, sizeof *spec->mounts);
  spec->limits = calloc(counts['R'] + 1, sizeof *spec->limits);
  spec->args = calloc(counts['A'] + 1, sizeof *spec->args);
  spec->env = calloc(counts['E'] + 1, sizeof *spec->env);
  spec->cgroups = calloc(counts['C'] + 1, sizeof *spec->cgroups);
  spec->groups = calloc(counts['G'] + 1, sizeof *spec->groups);
  return spec->stacks && spec->layers && spec->hidden && spec->mounts && spec->limits &&
         spec->args && spec->env && spec->cgroups && spec->groups;
}

int read_spec(int descriptor, struct tsb_spec *spec, struct tsb_report *report) {
  char head[4];
  if (read_exactly(descriptor, head, sizeof head) < 0)
    return failed(report, TSB_STAGE_SPEC, "the step's description");
  size_t length = little_endian(head);
  if (length > TSB_MAX_SPEC_BYTES)
    return failed_with(report, TSB_STAGE_SPEC, E2BIG, "its length");
  char *bytes = calloc(1, length + 1);
  if (bytes == NULL)
    return failed(report, TSB_STAGE_SPEC, "memory");
  if (read_exactly(descriptor, bytes, length) < 0)
    return failed(report, TSB_STAGE_SPEC, "the step's description");
  struct cursor all = {.at = bytes, .end = bytes + length};
  if (!reserve_lists(all, spec))
    return failed_with(report, TSB_STAGE_SPEC, EINVAL, "its records");
  struct record record;
  while (next_record(&all, &record) > 0) {
    char tag[2] = {record.tag, '\0'};
    if (!take_record(&record, spec) || record.fields.at != record.fields.end)
      return failed_with(report, TSB_STAGE_SPEC, EINVAL, tag);
  }
  if (spec->arg_count == 0 || spec->stack_count == 0 || spec->stacks[0].scratch == NULL ||
      spec->cwd == NULL || spec->hostname == NULL)
    return failed_with(report, TSB_STAGE_SPEC, EINVAL, "a missing record");
  return 0;
}
