#!/bin/sh
# Makes the packages @tsbuild/native and @tsbuild/store as others install them: dist/packages/*.tgz (or in the directory given).
set -eu
cd "$(dirname "$0")/.."
to=${1:-dist/packages}
mkdir -p dist
node_modules/.bin/esbuild scripts/pack.ts --bundle --platform=node --format=esm --log-level=error --outfile=dist/.pack.mjs
node dist/.pack.mjs "$to"
rm dist/.pack.mjs
