#!/bin/sh
# What takes too long for every change: the same tests with large counts, and tests that only a night has time for.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh --test
export TSBUILD_NIGHTLY=1
TSBUILD_FUZZ_RUNS=1000 node_modules/.bin/vitest run test/store/format-erofs-utils.test.ts --testTimeout=1800000
node_modules/.bin/vitest run test/e2e/samples.test.ts
node_modules/.bin/vitest run test/faults test/e2e/full-disk.test.ts --testTimeout=3600000
TSBUILD_FLIPS=200 node_modules/.bin/vitest run test/store/fsck-flips.test.ts
node_modules/.bin/vitest run test/store/transport-faults.test.ts
TSBUILD_LARGE_LAYER_GB=10 node_modules/.bin/vitest run test/e2e/memory.test.ts
TSBUILD_USAGE_RUNS=300 node_modules/.bin/vitest run test/store/content-usage.test.ts test/store/content-duplicates.test.ts --testTimeout=3600000
TSBUILD_FUZZ_RUNS=200000 node_modules/.bin/vitest run test/store/format-scan.test.ts --testTimeout=3600000
node_modules/.bin/vitest run test/store/content-bombs.test.ts
