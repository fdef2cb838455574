#!/bin/sh
# npm run bench [-- WORD]: all scenarios, or those whose name holds WORD. BENCH_RUNS sets the number of runs.
set -eu
cd "$(dirname "$0")/.."
[ -f dist/main.cjs ] || sh scripts/setup.sh
mkdir -p dist
node_modules/.bin/esbuild scripts/bench/main.ts --bundle --platform=node --format=esm --log-level=error --outfile=dist/.bench.mjs
exec node dist/.bench.mjs "$@"
