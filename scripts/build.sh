#!/bin/sh
# Builds the C in native/ and bundles the command line. Run by `npm ci` and `npm run build`.
set -eu
cd "$(dirname "$0")/.."
for tool in cc make; do
  command -v "$tool" >/dev/null || { echo "tsbuild: $tool is missing; run: npm run setup" >&2; exit 1; }
done
make -s -C native
# Made beside the old one and exchanged, so that what runs meanwhile finds one or the other.
rm -rf dist.new dist.old
mkdir dist.new
node_modules/.bin/esbuild scripts/bundle.ts --platform=node --format=esm --log-level=error --outfile=dist.new/.bundle.mjs
node dist.new/.bundle.mjs dist.new
rm dist.new/.bundle.mjs
if [ -d dist ]; then mv dist dist.old; fi
mv dist.new dist
rm -rf dist.old
