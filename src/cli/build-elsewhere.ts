// Options of docker, buildx and podman that build does not have: what leads to the same.

const later = 'leave it out';

export const elsewhere: Readonly<Record<string, string>> = {
  '--builder': 'there is no builder to choose: tsbuild builds here',
  '--cache-from': 'the cache is in the store; tsbuild pull brings layers that it can use',
  '--cache-to': 'the cache is in the store, which lasts from build to build',
  '--format': 'images are OCI images; tsbuild save --format docker-archive writes one for docker',
  '--memory': 'limit the whole build with systemd-run -p MemoryMax=',
  '--policy': later,
  '--squash': later,
};
