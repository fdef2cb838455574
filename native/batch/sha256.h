/* SHA-256 from libcrypto.a by its oldest names: no provider is loaded, nothing is allocated, and
 * the assembler picks the CPU's own instructions. */
#ifndef TSB_BATCH_SHA256_H
#define TSB_BATCH_SHA256_H

#define OPENSSL_SUPPRESS_DEPRECATED
/* Hidden: Node exports an OpenSSL of its own, which must not be bound here. */
#pragma GCC visibility push(hidden)
#include <openssl/sha.h>
#pragma GCC visibility pop

#include <stdint.h>

#define SHA256_BYTES SHA256_DIGEST_LENGTH

static inline void sha256_zeros(SHA256_CTX *sha, uint64_t length) {
  static const uint8_t zeros[16384];
  for (; length > sizeof zeros; length -= sizeof zeros)
    SHA256_Update(sha, zeros, sizeof zeros);
  SHA256_Update(sha, zeros, length);
}

#endif
