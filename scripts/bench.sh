#!/bin/sh
# npm run bench [-- WORD]: all scenarios, or those whose name holds WORD ('scaling' is one, 'transport' the images' way in and
# out). BENCH_RUNS sets the number of runs, BENCH_LARGE_GB the size of the large layer whose transfers' memory is measured.
set -eu
cd "$(dirname "$0")/.."
[ -f dist/main.cjs ] || sh scripts/setup.sh
mkdir -p dist
node_modules/.bin/esbuild scripts/bench/main.ts --bundle --platform=node --format=esm --log-level=error --outfile=dist/.bench.mjs
node_modules/.bin/esbuild scripts/bench/in-process.ts --bundle --platform=node --format=cjs --target=node20 \
  --supported:dynamic-import=false --external:koffi --external:@libsql/* --log-level=error \
  --define:import.meta.url=bundleUrl "--banner:js=const bundleUrl = require('node:url').pathToFileURL(__filename).href;" \
  --outfile=dist/.bench-in-process.cjs
node_modules/.bin/esbuild scripts/bench/large-tar.ts --bundle --platform=node --format=cjs --log-level=error \
  --outfile=dist/.bench-large-tar.cjs
exec node dist/.bench.mjs "$@"
