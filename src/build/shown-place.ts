import { withoutCredentials } from '../base/index.js';
import type { RemoteFiles } from './request.js';

/** Where files come from, for people to read. */
export function shownPlace(files: RemoteFiles): string {
  return withoutCredentials(files.kind === 'git' ? files.repository.remote : files.url);
}
