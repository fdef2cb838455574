/* flock(2), which Node does not offer, as an addon: every command locks, and an addon is loaded in
 * a tenth of the time that koffi takes.
 *
 * What it uses of Node-API is declared here: an ABI that no Node version breaks, so that its
 * headers need not be installed. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>

typedef struct napi_env_s *napi_env;
typedef struct napi_value_s *napi_value;
typedef struct napi_callback_info_s *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);

int napi_get_cb_info(napi_env, napi_callback_info, size_t *count, napi_value *arguments,
                     napi_value *receiver, void **data);
int napi_get_value_int32(napi_env, napi_value, int32_t *result);
int napi_create_int32(napi_env, int32_t value, napi_value *result);
int napi_create_function(napi_env, const char *name, size_t length, napi_callback, void *data,
                         napi_value *result);
int napi_set_named_property(napi_env, napi_value object, const char *name, napi_value value);

#define EXPORT __attribute__((visibility("default")))

EXPORT int32_t node_api_module_get_api_version_v1(void);
EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports);

static int lock(int fd, int32_t mode) {
  static const int modes[] = {LOCK_SH, LOCK_EX};
  if (mode < 0 || mode > 1)
    return EINVAL;
  while (flock(fd, modes[mode] | LOCK_NB) < 0)
    if (errno != EINTR)
      return errno;
  return 0;
}

/* lock(fd, mode): without waiting; mode 0 shared, 1 exclusive. Returns 0 or an errno. */
static napi_value call_lock(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  int32_t fd = -1;
  int32_t mode = -1;
  napi_value result = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != 0)
    return NULL;
  if (napi_get_value_int32(env, arguments[0], &fd) != 0 ||
      napi_get_value_int32(env, arguments[1], &mode) != 0)
    mode = -1;
  napi_create_int32(env, lock(fd, mode), &result);
  return result;
}

int32_t node_api_module_get_api_version_v1(void) { return 8; }

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  if (napi_create_function(env, "lock", 4, call_lock, NULL, &function) == 0)
    napi_set_named_property(env, exports, "lock", function);
  return exports;
}
