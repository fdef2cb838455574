// Where an image is: TRANSPORT:PLACE in skopeo's words, or the name of an image in the store.
import { existsSync } from 'node:fs';
import { parseReference, type Reference } from '#store';
import { closest } from '../base/index.js';
import { UsageError } from './cli.js';
import { storeAndName } from './store-address.js';

export type ImageAddress =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'oci'; readonly dir: string; readonly tag: string | undefined }
  | {
      readonly transport: 'oci-archive' | 'docker-archive';
      /** '-' is standard input or output. */
      readonly file: string;
      readonly tag: string | undefined;
    }
  | { readonly transport: 'dir'; readonly dir: string }
  | {
      readonly transport: 'store';
      /** Undefined: the store that --store, TSBUILD_STORE or the default names. */
      readonly dir: string | undefined;
      /** Null: the name that the image has at its source. */
      readonly name: string | null;
    };

const transports = ['docker', 'oci', 'oci-layout', 'oci-archive', 'docker-archive', 'dir', 'store'] as const;

/** What is named like a transport and is none here. */
const elsewhere: Readonly<Record<string, string>> = {
  'docker-daemon': "'docker save' writes an archive that docker-archive:FILE reads, 'docker load' reads one",
  'containers-storage': "'podman push IMAGE oci:DIR' and 'podman pull oci:DIR' go by way of a layout",
  ostree: 'go by way of a layout: oci:DIR',
  sif: 'go by way of a layout: oci:DIR',
  atomic: 'name the registry: docker://REGISTRY/NAME:TAG',
};

/** @throws UsageError; StoreError REFERENCE_INVALID */
export function parseAddress(text: string): ImageAddress {
  const [, scheme = '', rest = ''] = /^([a-z-]+):(.*)$/s.exec(text) ?? [];
  if (Object.hasOwn(elsewhere, scheme)) {
    throw new UsageError('USAGE', { message: `${scheme}: is not supported`, hint: elsewhere[scheme] });
  }
  const transport = transports.find((each) => each === scheme);
  // 'docker:24' is an image of that name; of a registry it would be docker://.
  const isName = scheme === 'docker' && !rest.startsWith('//');
  if (transport !== undefined && !isName) return addressOf(transport, rest, text);
  if (/^[./~]/.test(text)) {
    throw new UsageError('USAGE', {
      message: `${text} is a path: it does not say what kind of image is there`,
      hint: `write oci:${text}, oci-archive:${text}, docker-archive:${text} or dir:${text}`,
    });
  }
  if (rest.startsWith('//')) {
    const near = closest(scheme, transports);
    throw new UsageError('USAGE', {
      message: `${scheme}: is no transport`,
      hint: near === undefined ? `there are ${transports.join(', ')}` : `did you mean ${near}:?`,
    });
  }
  return { transport: 'store', dir: undefined, name: text };
}

function addressOf(transport: (typeof transports)[number], rest: string, text: string): ImageAddress {
  switch (transport) {
    case 'docker':
      return { transport, reference: parseReference(rest.slice(2)) };
    case 'oci':
    case 'oci-layout': {
      const [dir, tag] = pathAndName(text, rest);
      return { transport: 'oci', dir, tag };
    }
    case 'oci-archive':
    case 'docker-archive': {
      const [file, tag] = pathAndName(text, rest);
      return { transport, file, tag };
    }
    case 'dir':
      return { transport, dir: requirePath(text, rest.replace(/^\/\//, '')) };
    case 'store': {
      if (!/^[./]/.test(rest)) return { transport, dir: undefined, name: rest };
      const { dir, name } = storeAndName(text);
      return { transport, dir, name };
    }
  }
}

/** PATH[:name]: the name begins at the first colon, unless the path is there as it stands. */
function pathAndName(text: string, rest: string): [path: string, name: string | undefined] {
  const path = rest.replace(/^\/\//, '');
  const colon = path.indexOf(':');
  if (colon < 0 || existsSync(path)) return [requirePath(text, path), undefined];
  return [requirePath(text, path.slice(0, colon)), path.slice(colon + 1) || undefined];
}

function requirePath(text: string, path: string): string {
  if (path !== '') return path;
  throw new UsageError('USAGE', { message: `${text} names no path`, hint: `write ${text}PATH` });
}
