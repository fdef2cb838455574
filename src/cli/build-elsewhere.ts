// Options of docker, buildx and podman that build does not have: what leads to the same.

const later = 'leave it out';

export const elsewhere: Readonly<Record<string, string>> = {
  '--builder': 'there is no builder to choose: tsbuild builds here',
  '--format': 'images are OCI images; tsbuild save --format docker-archive writes one for docker',
  '--memory': 'limit the whole build with systemd-run -p MemoryMax=',
  '--policy': later,
  '--squash': later,
};
