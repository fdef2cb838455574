#!/bin/sh
# Installs what is missing, then runs all tests; the last line counts them.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh --test
exec node_modules/.bin/vitest run --reporter=default --reporter=./test/support/cases-reporter.ts \
  --reporter=./test/support/count-reporter.ts "$@"
