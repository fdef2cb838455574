import fc from 'fast-check';
import { expect, test } from 'vitest';
import { familiarName, formatReference, parseReference } from '#store';

const digest = `sha256:${'0a'.repeat(32)}`;

const names: [text: string, full: string, familiar: string][] = [
  ['app', 'docker.io/library/app:latest', 'app:latest'],
  ['app:1', 'docker.io/library/app:1', 'app:1'],
  ['team/app:1', 'docker.io/team/app:1', 'team/app:1'],
  ['docker.io/app', 'docker.io/library/app:latest', 'app:latest'],
  ['index.docker.io/library/app', 'docker.io/library/app:latest', 'app:latest'],
  ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
  ['localhost:5000/app', 'localhost:5000/app:latest', 'localhost:5000/app:latest'],
  [`reg:5000/a/b:t@${digest}`, `reg:5000/a/b:t@${digest}`, `reg:5000/a/b:t@${digest}`],
  [`app@${digest}`, `docker.io/library/app@${digest}`, `app@${digest}`],
  ['[::1]:5000/a', '[::1]:5000/a:latest', '[::1]:5000/a:latest'],
  ['Host/app', 'Host/app:latest', 'Host/app:latest'],
  ['gcr.io/a.b/c__d/e---f:V_1.2-3', 'gcr.io/a.b/c__d/e---f:V_1.2-3', 'gcr.io/a.b/c__d/e---f:V_1.2-3'],
  ['docker.io/library/a.b/c', 'docker.io/library/a.b/c:latest', 'library/a.b/c:latest'],
];

for (const [text, full, familiar] of names) {
  test(`${text} is ${full}, shown as ${familiar}`, () => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(full);
    expect(familiarName(reference)).toBe(familiar);
    expect(familiarName(full)).toBe(familiar);
    expect(parseReference(familiar)).toEqual(reference);
  });
}

const refused: [text: string, problem: RegExp][] = [
  ['', /empty/],
  ['App:1', /lower-case: "app"/],
  ['team//app', /empty component/],
  ['app:', /"" is no tag/],
  ['app:-rf', /"-rf" is no tag/],
  [`app:${'a'.repeat(129)}`, /is no tag/],
  ['a..b', /"a\.\.b" is no name/],
  ['../etc/passwd', /registry host/],
  ['localhost/../x', /"\.\." is no name/],
  ['app@sha256:../../x', /is no digest/],
  [`app@sha256:${'A'.repeat(64)}`, /is no digest/],
  [`app@md5:${'0'.repeat(32)}`, /is no digest/],
  ['a'.repeat(64).replaceAll('a', 'f'), /mistaken for an image id/],
  [`x/${'a'.repeat(255)}`, /longer than 255/],
  ['reg:port/app', /registry host/],
  ['app\u001b[31m', /no name/],
];

for (const [text, problem] of refused) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused, saying why`, () => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' }));
    expect(() => parseReference(text)).toThrow(problem);
  });
}

test('whatever parses comes back the same from its full and its familiar form', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-zA-Z0-9.:/_@[\]-]{1,40}$/), (text) => {
      let reference: ReturnType<typeof parseReference>;
      try {
        reference = parseReference(text);
      } catch {
        return;
      }
      expect(parseReference(formatReference(reference))).toEqual(reference);
      expect(parseReference(familiarName(reference))).toEqual(reference);
    }),
    { numRuns: 5000 },
  );
});
