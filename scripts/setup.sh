#!/bin/sh
# Installs what is missing to build, run and test tsbuild on Debian: packages, npm modules, the C in native/.
#   sh scripts/setup.sh          to build and run
#   sh scripts/setup.sh --test   to run the tests too: independent tools that read our images back, a test user
set -eu
cd "$(dirname "$0")/.."

build_packages='gcc libc6-dev make libseccomp-dev libssl-dev libdeflate-dev libzstd-dev libisal-dev golang-github-containers-common uidmap ca-certificates'
test_packages='busybox-static openssh-client openssh-server mmdebstrap skopeo umoci libarchive-tools python3 buildah docker-registry erofs-utils bsdutils time util-linux acl attr zstd xz-utils bzip2 git strace clang-format sshfs'
test_packages="$test_packages fuse3 libfuse3-dev e2fsprogs xfsprogs faketime" # disks to fill, power to cut, clocks to set

missing() {
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

wanted=$build_packages
[ "${1-}" = --test ] && wanted="$wanted $test_packages"
# shellcheck disable=SC2086 # word lists
packages=$(missing $wanted)
if [ -n "$packages" ]; then
  echo "installing: $packages"
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

if [ "${1-}" = --test ] && [ "$(id -u)" = 0 ] && ! id tsbuild-test >/dev/null 2>&1; then
  useradd --create-home tsbuild-test # an ordinary user with subordinate ids, to run the same tests as
fi

if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci
else
  sh scripts/build.sh
fi
