#!/bin/sh
# Builds the C in native/ and bundles the command line. Run by `npm ci` and `npm run build`.
set -eu
cd "$(dirname "$0")/.."
for tool in cc make; do
  command -v "$tool" >/dev/null || { echo "tsbuild: $tool is missing; run: npm run setup" >&2; exit 1; }
done
make -s -C native
if [ -f src/cli/main.ts ]; then
  rm -rf dist
  node_modules/.bin/esbuild scripts/bundle.ts --platform=node --format=esm --log-level=error --outfile=dist/.bundle.mjs
  node dist/.bundle.mjs
  rm dist/.bundle.mjs
fi
