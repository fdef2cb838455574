// bundle.mjs DIR: bundles the command line into one file, DIR/cli.cjs, whose modules are evaluated when they are first needed, and
// keeps V8's compiled form of it beside it. CommonJS, because Node 20 can load compiled code for nothing else.
// Packages with native code stay in node_modules.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const target = process.argv[2] ?? 'dist';
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

await build({
  entryPoints: { cli: 'src/cli/main.ts' },
  outdir: target,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  minifySyntax: true, // but names stay, for stack traces and error names
  minifyWhitespace: true,
  supported: { 'dynamic-import': false },
  external: ['koffi', '@libsql/*'],
  define: { TSBUILD_VERSION: JSON.stringify(version), 'import.meta.url': 'bundleUrl' },
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  logLevel: 'warning',
});

// main.cjs runs cli.cjs from its compiled form. What is compiled when it is asked for the cache is in the cache.
writeFileSync(
  join(target, 'main.cjs'),
  `'use strict';
const { readFileSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');
const file = __dirname + '/cli.cjs';
let cachedData;
try { cachedData = readFileSync(__dirname + '/cli.cache'); } catch {}
const source = '(function (require, module, exports, __filename, __dirname) {' + readFileSync(file, 'latin1') + '\\n})';
const script = new Script(source, { filename: file, cachedData });
if (process.env.TSBUILD_WRITE_CODE_CACHE) {
  process.on('exit', () => writeFileSync(process.env.TSBUILD_WRITE_CODE_CACHE, script.createCachedData()));
}
script.runInThisContext()(require, module, exports, file, __dirname);
`,
);

// A small build compiles what most commands need. Where it fails (no disk, no kernel support), tsbuild starts slower.
const dir = mkdtempSync(join(tmpdir(), 'tsbuild-bundle-'));
try {
  writeFileSync(join(dir, 'Buildfile'), 'FROM scratch\nARG A=1\nENV B=$A\nLABEL c=d\nCOPY Buildfile /\nCMD ["/x"]\n');
  const env = {
    ...process.env,
    TSBUILD_WRITE_CODE_CACHE: join(target, 'cli.cache'),
    TSBUILD_STORE: join(dir, 'store'),
  };
  execFileSync(process.execPath, [join(target, 'main.cjs'), '-q', '-t', 'x:1', dir], { env, stdio: 'ignore' });
} catch (error) {
  console.warn(`tsbuild: no compiled form of the command line: ${(error as Error).message}`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
