// Steps of a user that has no id but its own.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lines, shell, useSingleIdLab } from './step-lab.js';

const lab = await useSingleIdLab();

test.skipIf(!lab)('a step can be its root, which is the user', async () => {
  expect(await lines(lab!, 'id; tr -s " " </proc/self/uid_map')).toEqual(['uid=0 gid=0', ' 0 0 1']);
  const { scratchDir, upper } = await shell(lab!, 'touch /made; rm -r /tmp');
  expect(upper).toEqual(['made', 'tmp']);
  expect(statSync(join(scratchDir, 'upper/made')).uid).toBe(65533);
});

test.skipIf(!lab)('files of other owners can not be made', async () => {
  expect((await shell(lab!, 'touch /made; chown 5 /made')).stderr).toContain('Invalid argument');
});

test.skipIf(!lab)('another user is LAUNCH_CREDENTIALS, and the hint says what to do', async () => {
  const { error } = await shell(lab!, 'true', { uid: 1000, gid: 1000 });
  expect(error).toMatchObject({ code: 'LAUNCH_CREDENTIALS', errno: 'EINVAL' });
  expect(error?.hint).toContain('/etc/subuid');
});
