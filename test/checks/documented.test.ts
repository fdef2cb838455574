// docs/checks.md explains each rule by an example that it finds and one that nothing is found in.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { rules } from '../../src/checks/index.js';
import { findingsOf } from './support.js';

const text = readFileSync('docs/checks.md', 'utf8');
const sections = text.split(/^### /m).slice(1);
const names = sections.map((section) => section.slice(0, section.indexOf('\n')));

test('each rule is explained once, in the order of the list', () => {
  expect(names).toEqual(Object.keys(rules));
});

for (const [i, section] of sections.entries()) {
  describe(names[i]!, () => {
    const block = (info: string): string | undefined =>
      new RegExp(`^\`\`\`${info.replace('.', '\\.')}\\n(.*?)^\`\`\`$`, 'ms').exec(section)?.[1];
    const around = {
      ...(block('text .dockerignore') && { ignoreFile: block('text .dockerignore')! }),
      platforms: { 'image-for-another-platform': { os: 'linux', architecture: 'riscv64' } },
    };

    test('finds what is wrong in the bad example, and nothing else', () => {
      const found = findingsOf(block('dockerfile bad')!, around).map(({ rule }) => rule);
      expect(new Set(found)).toEqual(new Set([names[i]]));
    });

    test('finds nothing in the good example', () => {
      expect(findingsOf(block('dockerfile good')!, around)).toEqual([]);
    });
  });
}
