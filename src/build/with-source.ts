import { openLease } from '#store';
import { unlessInterrupted } from '../base/index.js';
import { fetchSource } from './fetch-source.js';
import type { AskedBuild, BuildIo, BuildRequest } from './request.js';

/** Calls `use` with the build when its Buildfile is known; what was fetched for that stays until `use` ends. */
export async function withSource<T>(
  asked: AskedBuild,
  io: Pick<BuildIo, 'store' | 'emit' | 'signal'>,
  use: (request: BuildRequest) => Promise<T>,
): Promise<T> {
  if (asked.source.kind === 'directory') {
    const { source, ...rest } = asked;
    return use({ ...rest, ...source, fetched: null });
  }
  const lease = await openLease(io.store, 'fetch');
  try {
    return await use(await unlessInterrupted(fetchSource(asked, { io, lease }), io.signal));
  } finally {
    await lease.release();
  }
}
