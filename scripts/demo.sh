#!/bin/sh
# Installs what is missing, builds a sample image and runs it.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
echo '$ bin/tsbuild -f builds/hello/Buildfile -t hello:1 builds/hello'
bin/tsbuild -f builds/hello/Buildfile -t hello:1 builds/hello
echo '$ bin/tsbuild run hello:1'
bin/tsbuild run hello:1
