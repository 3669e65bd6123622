import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

/**
 * Reads LMDB's file format without LMDB, which trusts its file: of a damaged one, it reads outside of the file and ends the process.
 * The format: pages of equal size. Pages 0 and 1 describe the two newest snapshots, each with the roots of two B+ trees: the data, and
 * the pages that are free. A large value has pages of its own. A changed page is always written to a free place.
 */

/** The file is not what LMDB has written. */
export class DamagedFile extends Error {}

interface Tree {
  /** Undefined if the tree is empty. */
  root: number | undefined;
  depth: number;
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
  /** The tree of free pages has integers as keys. */
  hasNumbers: boolean;
}

export interface Meta {
  transaction: number;
  lastPage: number;
  free: Tree;
  main: Tree;
}

const headerBytes = 24;
const kinds = { branch: 1, leaf: 2, overflow: 4 };
const nodes = { bigData: 1, subData: 2, duplicates: 4 };

export class PageFile {
  readonly pageBytes: number;
  private readonly file: number;

  /** @throws DamagedFile when it is not a data file */
  constructor(path: string, mode: 'r' | 'r+' = 'r') {
    this.file = openSync(path, mode);
    try {
      const head = this.read(0, 160);
      this.pageBytes = head.readUInt32LE(48);
      const isPage = this.pageBytes >= 512 && this.pageBytes <= 65_536 && (this.pageBytes & (this.pageBytes - 1)) === 0;
      if (!isPage || this.size < 2 * this.pageBytes) throw new DamagedFile('it is not a data file, or damaged');
      for (const at of [0, this.pageBytes]) {
        const page = this.read(at, 160);
        if (page.readUInt32LE(24) !== 0xbeefc0de || page.readUInt32LE(48) !== this.pageBytes)
          throw new DamagedFile('it is not a data file, or damaged');
      }
    } catch (error) {
      closeSync(this.file);
      throw error;
    }
  }

  get size(): number {
    return fstatSync(this.file).size;
  }

  close(): void {
    closeSync(this.file);
  }

  /** Returns the newest snapshot. @throws DamagedFile when the descriptions of the two newest contradict each other */
  meta(): Meta {
    const [even, odd] = [readMeta(this.read(0, 160)), readMeta(this.read(this.pageBytes, 160))];
    // Transactions write them in turn. In a copy one is 0.
    const isInTurn = even.transaction % 2 === 0 && odd.transaction % 2 === 1 && Math.abs(even.transaction - odd.transaction) === 1;
    if (!isInTurn && even.transaction && odd.transaction) throw new DamagedFile('it is damaged: its newest version is unclear');
    return even.transaction > odd.transaction ? even : odd;
  }

  read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.file, bytes, 0, length, at);
    return bytes;
  }

  /** Reads into `target`. Returns false if the file ends before. */
  readInto(target: Buffer, at: number): boolean {
    return readSync(this.file, target, 0, target.length, at) === target.length;
  }

  /** Overwrites bytes with zeros, unless they are zeros already. Returns whether it wrote. */
  erase(at: number, length: number): boolean {
    let wrote = false;
    for (let done = 0; done < length; done += zeros.length) {
      const size = Math.min(zeros.length, length - done, Math.max(0, this.size - at - done));
      if (!size || this.read(at + done, size).equals(zeros.subarray(0, size))) continue;
      writeSync(this.file, zeros, 0, size, at + done);
      wrote = true;
    }
    return wrote;
  }

  get descriptor(): number {
    return this.file;
  }
}

const zeros = Buffer.alloc(1 << 20);

const maxMapBytes = 1n << 42n;

function readMeta(page: Buffer): Meta {
  // LMDB relies on each of these. They are the same in all files that this program writes: kind of page, version, address of the map, flags.
  const isRight = page.readUInt16LE(18) === 8 && page.readUInt32LE(28) === 2 && page.readBigUInt64LE(32) === 0n;
  const hasFlags = page.readUInt16LE(52) === 0x4008 && page.readUInt32LE(96) === 0 && page.readUInt16LE(100) === 0;
  if (!isRight || !hasFlags || page.readBigUInt64LE(40) > maxMapBytes)
    throw new DamagedFile('it is damaged, or another program has written it');
  const tree = (at: number, hasNumbers: boolean): Tree => {
    const number = (offset: number) => Number(page.readBigUInt64LE(at + offset));
    const root = page.readBigUInt64LE(at + 40);
    return {
      root: root === 0xffff_ffff_ffff_ffffn ? undefined : Number(root),
      depth: page.readUInt16LE(at + 6),
      branchPages: number(8),
      leafPages: number(16),
      overflowPages: number(24),
      entries: number(32),
      hasNumbers,
    };
  };
  const lastPage = Number(page.readBigUInt64LE(144));
  // LMDB maps as many pages into memory.
  if (lastPage * 4096 > maxMapBytes) throw new DamagedFile('it is damaged: its size is not possible');
  return { transaction: Number(page.readBigUInt64LE(152)), lastPage, free: tree(48, true), main: tree(96, false) };
}

export interface Visitor {
  /** Called for each page that the tree uses. */
  page(number: number, count: number): void;
  /** Called for bytes of these pages that hold nothing, unless they are zeros. */
  unused?(at: number, length: number): void;
  /** Called for each entry. */
  entry?(key: Buffer, value: () => Buffer): void;
}

/**
 * Visits the pages of a tree, and checks everything about them that LMDB relies on. Yields after each page. With `since`, visits only pages
 * that were written after this transaction: a change of a page changes all pages above it.
 * @throws DamagedFile
 */
export function* walk(file: PageFile, { lastPage }: Meta, tree: Tree, visitor: Visitor, since = -1): Generator<void> {
  if (tree.root === undefined) {
    if (tree.entries) throw new DamagedFile('it has lost its data');
    return;
  }
  const { pageBytes } = file;
  const found = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
  const buffers: Buffer[] = [];
  const damaged = (page: number, what: string) => new DamagedFile(`it is damaged: page ${page} ${what}`);
  const compare = tree.hasNumbers
    ? (a: Buffer, b: Buffer) => Number(a.readBigUInt64LE() > b.readBigUInt64LE()) - Number(a.readBigUInt64LE() < b.readBigUInt64LE())
    : Buffer.compare;

  const load = (number: number, target: Buffer): void => {
    if (number < 2 || number > lastPage) throw damaged(number, 'is outside of the file');
    if (!file.readInto(target, number * pageBytes)) throw damaged(number, 'is cut off');
    if (Number(target.readBigUInt64LE(0)) !== number) throw damaged(number, 'is another page');
  };

  /** Checks a large value, and returns how to read it. */
  const overflow = (page: Buffer, at: number, size: number): (() => Buffer) => {
    const [first, count] = [Number(page.readBigUInt64LE(at)), Number(page.readBigUInt64LE(at + 16))];
    const head = file.read(first * pageBytes, headerBytes);
    if (!(count > 0) || first < 2 || first + count - 1 > lastPage) throw damaged(first, 'is outside of the file');
    const isRight = Number(head.readBigUInt64LE(0)) === first && (head.readUInt16LE(18) & 0x0f) === kinds.overflow;
    if (!isRight || head.readUInt32LE(20) !== count || headerBytes + size > count * pageBytes) throw damaged(first, 'is another page');
    if (file.size < first * pageBytes + headerBytes + size) throw damaged(first, 'is cut off');
    visitor.page(first, count);
    found.overflowPages += count;
    const end = headerBytes + size;
    visitor.unused?.(first * pageBytes + end, count * pageBytes - end);
    return () => file.read(first * pageBytes + headerBytes, size);
  };

  function* visit(number: number, depth: number, low?: Buffer, high?: Buffer): Generator<void> {
    buffers[depth] ??= Buffer.alloc(pageBytes);
    const page = buffers[depth];
    load(number, page);
    if (Number(page.readBigUInt64LE(8)) <= since) return;
    const isLeaf = depth === tree.depth;
    if ((page.readUInt16LE(18) & 0x0f) !== (isLeaf ? kinds.leaf : kinds.branch)) throw damaged(number, 'has another kind');
    const [lower, upper] = [page.readUInt16LE(20), page.readUInt16LE(22)];
    const count = lower >> 1;
    if (lower & 1 || lower > upper || headerBytes + upper > pageBytes || (!isLeaf && count < 2)) throw damaged(number, 'has a wrong size');
    visitor.page(number, 1);
    found[isLeaf ? 'leafPages' : 'branchPages']++;
    const gap = page.subarray(headerBytes + lower, headerBytes + upper);
    if (visitor.unused && !gap.equals(zeros.subarray(0, gap.length))) visitor.unused(number * pageBytes + headerBytes + lower, gap.length);
    let previous: Buffer | undefined;
    const children: [number, Buffer | undefined][] = [];
    for (let i = 0; i < count; i++) {
      const at = headerBytes + page.readUInt16LE(headerBytes + 2 * i);
      if (at < headerBytes + upper || at + 8 > pageBytes) throw damaged(number, 'has an entry outside');
      const size = page.readUInt16LE(at) + page.readUInt16LE(at + 2) * 65_536;
      const [flags, keyBytes] = [page.readUInt16LE(at + 4), page.readUInt16LE(at + 6)];
      const isBig = isLeaf && (flags & nodes.bigData) !== 0;
      const end = at + 8 + keyBytes + (isLeaf ? (isBig ? 24 : size) : 0);
      if (end > pageBytes || (isLeaf && flags & (nodes.subData | nodes.duplicates))) throw damaged(number, 'has an entry outside');
      if (tree.hasNumbers && keyBytes !== 8 && (isLeaf || i)) throw damaged(number, 'has a wrong key');
      const key = page.subarray(at + 8, at + 8 + keyBytes);
      // The first key of a branch is not used.
      if (isLeaf || i) {
        const isOrdered =
          (!previous || compare(previous, key) < 0) && (!low || compare(low, key) <= 0) && (!high || compare(key, high) < 0);
        if (!isOrdered) throw damaged(number, 'has keys in a wrong order');
        previous = key;
      }
      if (!isLeaf) {
        children.push([size + flags * 2 ** 32, i ? Buffer.from(key) : low]);
        continue;
      }
      found.entries++;
      const valueAt = at + 8 + keyBytes;
      const value = isBig ? overflow(page, valueAt, size) : () => Buffer.from(page.subarray(valueAt, end));
      visitor.entry?.(key, value);
    }
    yield;
    for (const [i, [child, from]] of children.entries()) yield* visit(child, depth + 1, from, children[i + 1]?.[1] ?? high);
  }

  if (tree.depth < 1 || tree.depth > 32) throw new DamagedFile('it is damaged: a tree has a wrong depth');
  yield* visit(tree.root, 1);
  if (since >= 0) return;
  for (const what of ['branchPages', 'leafPages', 'overflowPages', 'entries'] as const) {
    if (found[what] !== tree[what]) throw new DamagedFile(`it is damaged: it has ${found[what]} ${what} instead of ${tree[what]}`);
  }
}

/** A set of page numbers. */
export class PageSet {
  private bits = new Uint8Array(1024);

  /** Adds pages. @throws DamagedFile when one is in the set already and `isNew` is true */
  add(first: number, count: number, isNew: boolean): void {
    if (first + count > this.bits.length) {
      const larger = new Uint8Array(Math.max(first + count, this.bits.length * 2));
      larger.set(this.bits);
      this.bits = larger;
    }
    for (let page = first; page < first + count; page++) {
      if (isNew && this.bits[page]) throw new DamagedFile(`it is damaged: page ${page} is used twice`);
      this.bits[page] = 1;
    }
  }

  has(page: number): boolean {
    return this.bits[page] === 1;
  }
}

/** Checks the structure of the newest snapshot, which must not change meanwhile. @throws DamagedFile */
export function checkStructure(file: PageFile): void {
  const meta = file.meta();
  const used = new PageSet();
  for (const tree of [meta.free, meta.main]) {
    for (const _ of walk(file, meta, tree, { page: (first, count) => used.add(first, count, true) }));
  }
}
