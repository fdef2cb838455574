#!/bin/sh
# Everything a machine can check without running the program: types, lint and format, layering, unused code, C.
set -eu
cd "$(dirname "$0")/.."
node_modules/.bin/tsc -p .
node_modules/.bin/biome check --error-on-warnings .
mkdir -p dist
node_modules/.bin/esbuild scripts/check-layers.ts --platform=node --format=esm --log-level=error --outfile=dist/.check-layers.mjs
node dist/.check-layers.mjs .
rm dist/.check-layers.mjs
node_modules/.bin/knip
git ls-files 'native/*.c' 'native/*.h' | xargs clang-format --dry-run -Werror
echo 'check: types, lint, format, layers, unused code and C format are clean'
