// Places where nothing can be made: said at once, not tried for ever.
import { expect, test } from 'vitest';
import { people } from '../support/tsbuild.js';

for (const person of people()) {
  test(`as ${person.name}, a store in a directory that takes none is refused`, async () => {
    const { code, stderr } = await person.run(['images', '--store', '/proc/x/store']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error\[\w+\]: .*\/proc\/x/m);
  });
}
