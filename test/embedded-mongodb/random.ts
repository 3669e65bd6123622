import { Binary, Decimal128, type Document, Double, Int32, Long, ObjectId } from 'mongodb';

/** Decimals that lie at, beside, below and beyond doubles and large int64s. */
const nearDoubles = [
  '0.1',
  '0.1000000000000000055511151231257827',
  '0.1000000000000000055511151231257828',
  '9007199254740993',
  '9007199254740993.5',
  '-9007199254740993.5',
  '9223372036854775807.5',
  '1E+300',
  '1E+400',
  '-1E+400',
  '1E-6176',
  '-1E-6176',
  'Infinity',
  '-Infinity',
  'NaN',
];

/** Random documents, queries and changes, the same for the same seed. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** mulberry32 */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  some<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, make);
  }

  /** Mostly values that collide and lie near each other, for that is where comparison goes wrong. */
  scalar(): unknown {
    const n = this.below(6) - 1;
    switch (this.below(this.exotic ? 19 : 9)) {
      case 0:
        return new Int32(n);
      case 1:
        return new Double(this.chance(0.5) ? n : n + 0.5);
      case 2:
        return Long.fromNumber(n);
      case 3:
      case 4:
        return this.pick(['', 'a', 'ab', 'abc', 'b', 'B', 'a.b', 'ä', 'z']);
      case 5:
        return null;
      case 6:
        return this.chance(0.5);
      case 7:
        return new Date(n * 1000);
      case 8:
        return new ObjectId(`00000000000000000000000${this.below(4)}`);
      case 9:
        return new Double(this.pick([1e3, -1.5, 1.5]));
      case 10:
        return new Binary(Buffer.from(this.pick(['', 'a', 'b', 'ab'])), this.pick([0, 4 * 0]));
      case 11:
        return new Binary(Buffer.from(this.pick(['', 'a'])), 4);
      case 12:
        return Long.fromString(this.pick(['9007199254740993', '9007199254740992', '-9007199254740993', '9223372036854775807']));
      case 13:
        return new Double(this.pick([9007199254740992, -0, 0.1, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]));
      case 14:
        return this.chance(0.5);
      case 15:
        return new Double(Number.NaN);
      case 16:
        return Decimal128.fromString(this.pick(['0', '1', '1.5', '2', '1E+3', '-1.50']));
      case 17:
        return Decimal128.fromString(this.pick(nearDoubles));
      default:
        return new Int32(this.pick([2147483647, -2147483648]));
    }
  }

  /** Whether rarer types are made too. */
  exotic = true;

  value(depth = 2): unknown {
    if (depth > 0 && this.chance(0.2)) return this.some(this.below(4), () => this.value(depth - 1));
    if (depth > 0 && this.chance(0.2)) return this.object(depth - 1);
    return this.scalar();
  }

  object(depth: number): Document {
    return Object.fromEntries(this.some(this.below(3), () => [this.pick(['a', 'b', 'c']), this.value(depth)]));
  }

  document(id: unknown): Document {
    const document: Document = { _id: id };
    for (const name of ['a', 'b', 'c']) if (this.chance(0.75)) document[name] = this.value();
    return document;
  }

  path(): string {
    return this.pick(['a', 'a', 'b', 'b', 'c', 'a.b', 'a.a', 'b.c', 'a.b.c']);
  }

  private comparison(): Document {
    const value = () => (this.chance(0.85) ? this.scalar() : this.value());
    switch (this.below(14)) {
      case 0:
      case 1:
        return { $eq: value() };
      case 2:
        return { $ne: value() };
      case 3:
        return { $gt: value() };
      case 4:
        return { $gte: value() };
      case 5:
        return { $lt: value() };
      case 6:
        return { $lte: value() };
      case 7:
        return { $gte: new Int32(0), $lt: new Double(2.5) };
      case 8:
        return { $in: this.some(this.below(4), value) };
      case 9:
        return { $nin: this.some(this.below(4), value) };
      case 10:
        return { $exists: this.chance(0.5) };
      case 11:
        return { $gt: this.scalar(), $lte: this.scalar() };
      case 12:
        return { $in: [this.scalar()] };
      default:
        return this.pick([
          { $regex: '^a.*(?!.)', $options: 's' },
          { $regex: '^ab.*(?!.)', $options: 's' },
          { $regex: '^.*b.*(?!.)', $options: 's' },
          { $regex: '^a.(?!.)', $options: 's' },
          { $not: { $gt: this.scalar() } },
          { $not: { $in: [1, this.scalar()] } },
        ]);
    }
  }

  filter(depth = 2): Document {
    if (depth > 0 && this.chance(0.25))
      return { [this.pick(['$and', '$or', '$nor', '$or'])]: this.some(1 + this.below(3), () => this.filter(depth - 1)) };
    const filter: Document = {};
    for (let i = this.below(3); i >= 0; i--) filter[this.path()] = this.chance(0.3) ? this.value() : this.comparison();
    if (this.chance(0.1)) filter.$or = [this.filter(0), this.filter(0)];
    return filter;
  }

  sort(): Document {
    return Object.fromEntries(this.some(1 + this.below(2), () => [this.pick(['a', 'b', 'c', '_id', 'a.b']), this.pick([1, -1])]));
  }

  projection(): Document {
    const include = this.chance(0.5) ? 1 : 0;
    const projection: Document = Object.fromEntries(this.some(1 + this.below(2), () => [this.pick(['a', 'b', 'c']), include]));
    if (this.chance(0.4)) projection._id = this.chance(0.5) ? 1 : 0;
    return projection;
  }

  update(): Document {
    if (this.chance(0.08)) return { a: this.value(), b: this.value() };
    const update: Document = {};
    for (let i = this.below(2); i >= 0; i--) {
      const path = this.pick(['a', 'b', 'c']);
      const scalar = this.scalar();
      const number = this.pick([new Int32(1), new Double(1.5), Long.fromNumber(2), new Int32(2147483647)]);
      const [operator, operand] = this.pick<[string, unknown]>([
        ['$set', this.value()],
        ['$set', scalar],
        ['$unset', ''],
        ['$inc', number],
      ]);
      update[operator] = { ...update[operator], [path]: operand };
    }
    return update;
  }
}
