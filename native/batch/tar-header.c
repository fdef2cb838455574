#include "tar-header.h"

#include <stdio.h>

#define SMALL_OCTAL 07777777u
#define LARGE_OCTAL UINT64_C(077777777777)

static const struct field {
  uint16_t start, end;
} name_field = {0, 100}, mode_field = {100, 108}, uid_field = {108, 116}, gid_field = {116, 124},
  size_field = {124, 136}, mtime_field = {136, 148}, checksum_field = {148, 155},
  link_field = {157, 257}, major_field = {329, 337}, minor_field = {337, 345},
  prefix_field = {345, 500};

#define TYPE_AT 156
#define MAGIC_AT 257

void tar_member_read(struct tar_member *member, struct batch_in *in) {
  *member = (struct tar_member){0};
  member->header_bytes = in_u32(in);
  member->type = in_u32(in);
  member->mode = in_u32(in);
  member->uid = in_u32(in);
  member->gid = in_u32(in);
  member->dev_major = in_u32(in);
  member->dev_minor = in_u32(in);
  member->mtime_nsec = in_u32(in);
  member->prefix = in_u32(in);
  member->name_length = in_u32(in);
  member->link_length = in_u32(in);
  member->before_length = in_u32(in);
  member->after_length = in_u32(in);
  member->size = in_size(in);
  member->mtime = in_signed(in);
  member->name = in_bytes(in, member->name_length);
  member->link = in_bytes(in, member->link_length);
  member->before = in_bytes(in, member->before_length);
  member->after = in_bytes(in, member->after_length);
  if (member->prefix >= member->name_length || member->mtime_nsec > 999999999)
    in->bad = true;
}

static void put_text(uint8_t *block, struct field field, const uint8_t *text, size_t length) {
  size_t room = (size_t)field.end - field.start;
  memcpy(block + field.start, text, length < room ? length : room);
}

/* Right-aligned octal digits and a NUL; values that don't fit are said by a record, and 0 here. */
static void put_octal(uint8_t *block, struct field field, uint64_t value, uint64_t max) {
  if (value > max)
    value = 0;
  for (size_t at = field.end - 2u;; at--) {
    block[at] = (uint8_t)('0' + (value & 7));
    value >>= 3;
    if (at == field.start)
      break;
  }
}

static void put_numbers(uint8_t *block, char type, const struct tar_member *member) {
  put_octal(block, mode_field, member->mode, SMALL_OCTAL);
  put_octal(block, uid_field, member->uid, SMALL_OCTAL);
  put_octal(block, gid_field, member->gid, SMALL_OCTAL);
  put_octal(block, size_field, member->size, LARGE_OCTAL);
  put_octal(block, mtime_field, member->mtime < 0 ? 0 : (uint64_t)member->mtime, LARGE_OCTAL);
  block[TYPE_AT] = (uint8_t)type;
  memcpy(block + MAGIC_AT,
         "ustar\0"
         "00",
         8);
  uint32_t sum = 8 * ' ';
  for (size_t i = 0; i < TAR_BLOCK; i++)
    sum += block[i];
  put_octal(block, checksum_field, sum, SMALL_OCTAL); /* six digits, NUL, space */
  block[checksum_field.end] = ' ';
}

/* "LENGTH mtime=SECONDS[.FRACTION]\n", LENGTH counting itself; 0 if the header can say the time. */
static size_t time_record(const struct tar_member *member, char record[64]) {
  uint32_t fraction = member->mtime_nsec;
  if (fraction == 0 && member->mtime >= 0 && (uint64_t)member->mtime <= LARGE_OCTAL)
    return 0;
  int64_t seconds = member->mtime;
  bool negative = seconds < 0;
  if (negative)
    seconds = -seconds;
  if (negative && fraction) {
    seconds--;
    fraction = 1000000000u - fraction;
  }
  char value[40];
  int length = snprintf(value, sizeof value, "%s%lld.%09u", negative ? "-" : "", (long long)seconds,
                        fraction);
  while (value[length - 1] == '0')
    length--;
  if (value[length - 1] == '.')
    length--;
  int body = length + (int)sizeof " mtime=" - 1 + 1, digits = body + 2 > 99  ? 3
                                                              : body + 1 > 9 ? 2
                                                                             : 1;
  return (size_t)snprintf(record, 64, "%d mtime=%.*s\n", body + digits, length, value);
}

static void write_extended(const struct tar_member *member, const char *time, size_t time_length,
                           uint8_t *block) {
  size_t length = member->before_length + time_length + member->after_length;
  memcpy(block, "PaxHeaders", 10);
  put_numbers(block, 'x', &(struct tar_member){.mode = 0644, .size = length});
  uint8_t *records = block + TAR_BLOCK;
  memcpy(records, member->before, member->before_length);
  memcpy(records + member->before_length, time, time_length);
  memcpy(records + member->before_length + time_length, member->after, member->after_length);
}

static void write_header(const struct tar_member *member, uint8_t *block) {
  size_t from = member->prefix ? member->prefix + 1 : 0;
  put_text(block, name_field, member->name + from, member->name_length - from);
  put_text(block, prefix_field, member->name, member->prefix);
  put_text(block, link_field, member->link, member->link_length);
  if (member->type == '3' || member->type == '4') {
    put_octal(block, major_field, member->dev_major, SMALL_OCTAL);
    put_octal(block, minor_field, member->dev_minor, SMALL_OCTAL);
  }
  put_numbers(block, (char)member->type, member);
}

bool tar_member_write(const struct tar_member *member, uint8_t *space) {
  char time[64];
  size_t time_length = time_record(member, time);
  size_t records = (size_t)member->before_length + time_length + member->after_length;
  size_t blocks = records ? 2 + (records + TAR_BLOCK - 1) / TAR_BLOCK : 1;
  if (blocks * TAR_BLOCK != member->header_bytes)
    return false;
  memset(space, 0, blocks * TAR_BLOCK);
  if (records)
    write_extended(member, time, time_length, space);
  write_header(member, space + (blocks - 1) * TAR_BLOCK);
  return true;
}
