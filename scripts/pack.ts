// pack.mjs DIR: @tsbuild/native and @tsbuild/store as packages that need nothing of this repository: compiled to JavaScript and
// declarations, with their documents, and the native part as it was built for this kind of machine.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { apiDocs } from './api-docs.js';

const names = ['native', 'store'] as const;
const documents: Readonly<Record<(typeof names)[number], readonly string[]>> = {
  native: [],
  store: ['README.md', 'FORMAT.md'],
};

const to = resolve(process.argv[2] ?? 'dist/packages');
const compiled = mkdtempSync(join(tmpdir(), 'tsbuild-pack-'));
try {
  execFileSync('node_modules/.bin/tsc', ['-p', 'store', '--outDir', compiled], { stdio: 'inherit' });
  for (const name of names) makePackage(name);
  writeFileSync(join(to, 'store/API.md'), apiDocs(join(compiled, 'store')));
  for (const name of names) {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', to, join(to, name)], { stdio: 'inherit' });
  }
} finally {
  rmSync(compiled, { recursive: true, force: true });
}

function makePackage(name: (typeof names)[number]): void {
  const dir = join(to, name);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  cpSync(join(compiled, name), join(dir, 'dist'), { recursive: true });
  const { private: _private, ...facts } = JSON.parse(readFileSync(join(name, 'package.json'), 'utf8')) as object & {
    private?: boolean;
  };
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: object };
  const described = {
    ...facts,
    engines,
    os: ['linux'],
    ...(name === 'native' ? { cpu: [process.arch] } : {}),
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
  };
  writeFileSync(join(dir, 'package.json'), `${JSON.stringify(described, null, 2)}\n`);
  copyFileSync('LICENSE', join(dir, 'LICENSE'));
  for (const document of documents[name]) copyFileSync(join(name, document), join(dir, document));
  if (name !== 'native') return;
  mkdirSync(join(dir, 'build'));
  for (const file of nativeFiles()) copyFileSync(join('native/build', file), join(dir, 'build', file));
}

/** What the code asks for of native/build. */
function nativeFiles(): string[] {
  const sources = readdirSync('native').filter((file) => file.endsWith('.ts'));
  return sources.flatMap((file) =>
    [...readFileSync(join('native', file), 'utf8').matchAll(/nativeFile\('([^']+)'\)/g)].map(([, name]) => name!),
  );
}
