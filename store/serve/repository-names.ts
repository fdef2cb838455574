// Repositories of the server ↔ references of the store.
//
// Without a prefix, a repository's name is what people type for it here: 'app' is docker.io/library/app, 'team/app' is
// docker.io/team/app, 'quay.io/team/app' names its registry. So what was built with -t app:1 is pulled as HOST:PORT/app:1, and
// what is pushed there is app:1 for FROM and run. Tags of this very server's name ('localhost:5000/app:1') are in the repository
// 'app' too; where a tag is there in several spellings, the one that was set last counts.
// With a prefix ('team', 'localhost:5000', 'quay.io/team') the server knows the names below it and no others.
import { StoreError } from '../errors.js';
import { familiarName, formatReference, parseReference } from '../image/reference.js';
import { RequestError } from './errors.js';

export interface Repository {
  /** As clients call it. */
  readonly name: string;
  /** In full form: 'docker.io/library/app'. */
  readonly key: string;
  /** Its key, and under which other names the store may have its tags. */
  readonly spellings: readonly string[];
}

export class RepositoryNames {
  readonly #prefix: string;
  readonly #ownNames: readonly string[];

  /**
   * @param ownNames 'localhost:5000': the server's own names as a registry
   * @throws StoreError REFERENCE_INVALID for a prefix that nothing can be below
   */
  constructor(prefix: string | null, ownNames: readonly string[]) {
    this.#prefix = prefix === null ? '' : `${prefix.replace(/\/+$/, '')}/`;
    this.#ownNames = prefix === null ? [...new Set(ownNames)] : [];
    parseReference(`${this.#prefix}name`);
  }

  /** @throws RequestError NAME_INVALID */
  repository(name: string): Repository {
    const key = this.#keyOf(name);
    return { name, key, spellings: [key, ...this.#ownNames.map((own) => `${own}/${name}`)] };
  }

  /** The name of the repository that a store's reference is in; null for one that is not served. */
  nameOf(reference: string): string | null {
    const key = reference.slice(0, reference.lastIndexOf(':'));
    const own = this.#ownNames.find((each) => key.startsWith(`${each}/`));
    return this.nameOfKey(own === undefined ? key : key.slice(own.length + 1));
  }

  nameOfKey(key: string): string | null {
    try {
      const prefix = this.#prefix === '' ? '' : this.#keyOf('x').slice(0, -1);
      if (!key.startsWith(prefix)) return null;
      const name = prefix === '' ? familiarName(withoutTag(key)) : key.slice(prefix.length);
      this.repository(name);
      return name;
    } catch (error) {
      if (error instanceof RequestError || error instanceof StoreError) return null; // 'host:5000/app'
      throw error;
    }
  }

  /** Where the first component has a dot but can't be a host ('a.b_c/d'), it is no registry's. */
  #keyOf(name: string): string {
    // Colons are for ports and tags: no name of a repository has one.
    const spellings = /[:@]/.test(name) ? [] : [`${this.#prefix}${name}`, `docker.io/${this.#prefix}${name}`];
    for (const spelling of spellings) {
      try {
        return formatReference(withoutTag(spelling));
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
    }
    throw new RequestError(400, 'NAME_INVALID', `${JSON.stringify(name.slice(0, 100))} is no repository name`);
  }
}

function withoutTag(name: string): { readonly registry: string; readonly repository: string } {
  const { registry, repository } = parseReference(name);
  return { registry, repository };
}
