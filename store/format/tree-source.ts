// A layer that no index can express, read from its tar.
import type { LayerSource, NodeFacts, NodeId, NodeKind } from './layer-source.js';
import { type LayerNode, layerTree } from './layer-tree.js';
import { scanEntries } from './tar-scan.js';

export function readTreeSource(tarPath: string): LayerSource {
  const { root } = layerTree(scanEntries(tarPath));
  const nodes: LayerNode[] = [];
  const ids = new Map<LayerNode, NodeId>();
  const idOf = (node: LayerNode): NodeId => {
    let id = ids.get(node);
    if (id === undefined) {
      id = nodes.push(node) - 1;
      ids.set(node, id);
    }
    return id;
  };
  return {
    root: idOf(root),
    child(dir, name) {
      const node = nodes[dir]!.children?.get(name);
      return node ? idOf(node) : null;
    },
    children(dir) {
      const names = [...(nodes[dir]!.children?.keys() ?? [])].sort();
      return names.map((name) => ({ name, id: idOf(nodes[dir]!.children!.get(name)!) }));
    },
    kind: (id) => kindOf(nodes[id]!),
    isOpaque: (dir) => nodes[dir]!.opaque,
    facts: (id) => factsOf(nodes[id]!),
  };
}

function kindOf({ type }: LayerNode): NodeKind {
  return type === 'dir' || type === 'whiteout' ? type : 'other';
}

function factsOf({ sparse, children: _, opaque: __, nlink: ___, ...facts }: LayerNode): NodeFacts {
  return { ...facts, pieces: sparse?.pieces ?? null };
}
