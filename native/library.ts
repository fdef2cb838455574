// libtsbuild.so through koffi, loaded at the first call: importing koffi costs 10 ms, which a cached build never pays.
import type { LibraryHandle } from 'koffi';
import { SystemError } from './errors.js';
import { nativeFile } from './locate.js';

export interface Library {
  /** Executes one batch on a worker thread. */
  run(verb: 'walk' | 'assemble' | 'hash' | 'remove', request: Buffer): Promise<Buffer>;
  /** Another function of the library, by its C declaration. */
  readonly func: LibraryHandle['func'];
}

let loading: Promise<Library> | undefined;

export function openLibrary(): Promise<Library> {
  loading ??= load();
  return loading;
}

type Verb = Parameters<Library['run']>[0];
type Pointer = bigint;

async function load(): Promise<Library> {
  const { default: koffi } = await import('koffi');
  const library = koffi.load(nativeFile('libtsbuild.so'));
  const verb = (name: string) => library.func(`void *tsb_${name}(const uint8_t *request, size_t length)`);
  const verbs = { walk: verb('walk'), assemble: verb('assemble'), hash: verb('hash'), remove: verb('remove') };
  const free = library.func('void tsb_free(void *reply)');

  const take = (reply: Pointer | null): Buffer => {
    if (reply === null) throw new SystemError('OUT_OF_MEMORY', { message: 'not enough memory for a list of files' });
    try {
      const length = koffi.decode(reply, 16, 'double') as number;
      return Buffer.from(new Uint8Array(koffi.view(reply, length))); // a copy: the reply is C's memory
    } finally {
      free(reply);
    }
  };

  return {
    run: (name: Verb, request: Buffer) =>
      new Promise((resolve, reject) => {
        verbs[name].async(request, request.length, (error: Error | null, reply: Pointer | null) => {
          if (error) return reject(error);
          try {
            resolve(take(reply));
          } catch (cause) {
            reject(cause);
          }
        });
      }),
    func: library.func.bind(library),
  };
}
