import { expect, test } from 'vitest';
import { idMap } from '../../native/subordinate-ids.js';

const owners = ['ada', '1000'];

for (const { says, text, map } of [
  { says: 'a range by name', text: 'ada:100000:65536\n', map: '0 1000 1 1 100000 65536' },
  { says: 'a range by number', text: '1000:100000:65536', map: '0 1000 1 1 100000 65536' },
  { says: 'two ranges', text: 'ada:5:10\nbob:1:9\nada:50:20\n', map: '0 1000 1 1 5 10 11 50 20' },
  { says: 'nothing of this user', text: 'bob:100000:65536\nadam:1:1\n', map: undefined },
  { says: 'nothing', text: '', map: undefined },
  { says: 'no numbers', text: 'ada:x:65536\nada:1:-5\nada:1:0\nada\n', map: undefined },
]) {
  test(`a subordinate id file that says ${says} gives ${map ?? 'no map'}`, () => {
    expect(idMap(text, owners, 1000)).toBe(map);
  });
}
