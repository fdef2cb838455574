// A tar that is being written → the tree of its layer, as far as it has come: when the last byte is there, so is the tree.
import type { TarEntry } from './entry.js';
import { type LayerTree, TreeBuilder } from './layer-tree.js';
import { scanBlocks } from './tar-scan.js';
import { TarWindow } from './tar-window.js';

export class TarFollower {
  readonly #tar: TarWindow;
  readonly #builder = new TreeBuilder();
  /** Null where it was given up: the scan of the whole tar tells what is wrong, if anything is. */
  #entries: Generator<TarEntry | null, void> | null;

  constructor(fd: number) {
    this.#tar = new TarWindow(fd, Number.POSITIVE_INFINITY);
    this.#tar.available = 0;
    this.#entries = scanBlocks(this.#tar);
  }

  /** The first `written` bytes of the tar can be read. */
  advance(written: number): void {
    this.#tar.available = written;
    try {
      for (let entry = this.#entries?.next().value; entry; entry = this.#entries?.next().value)
        this.#builder.add(entry);
    } catch {
      this.#entries = null;
    }
  }

  /**
   * @param size bytes of the tar, all of which can be read
   * @returns null where only a scan of the whole tar will do
   * @throws StoreError as layerTree
   */
  finish(size: number): LayerTree | null {
    this.#tar.size = size;
    this.advance(size);
    return this.#entries === null ? null : this.#builder.finish();
  }
}
