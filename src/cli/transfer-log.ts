/** The number of problems of one kind that are printed with the numbers of their lines. */
const SHOWN_MAX = 20;
/** The number of kinds that are told apart. */
const KINDS_MAX = 200;
const OTHERS = 'has another problem';
/** How often the progress is printed where there is no terminal, in milliseconds. */
const PROGRESS_MS = 10_000;

interface Kind {
  count: number;
  message: string;
}

/** Prints the problems and the progress of an import: the first problems of each kind one by one, and all of them in a summary. */
export class TransferLog {
  /** By the message without its numbers. */
  readonly #kinds = new Map<string, Kind>();
  readonly #write: (text: string) => void;
  readonly #isTerminal: boolean;
  readonly #now: () => number;
  #shownAt: number;

  /** `now` returns a time in milliseconds. */
  constructor(write: (text: string) => void, isTerminal: boolean, now: () => number = Date.now) {
    this.#write = write;
    this.#isTerminal = isTerminal;
    this.#now = now;
    this.#shownAt = now();
  }

  /** Prints a problem of a line, unless there were many of this kind. */
  problem(line: number, message: string): void {
    const sentence = message.replace(/\.$/, '');
    const pattern = sentence.replace(/\d+/g, 'N');
    const name = this.#kinds.has(pattern) || this.#kinds.size < KINDS_MAX ? pattern : OTHERS;
    const kind = this.#kinds.get(name) ?? { count: 0, message: name === pattern ? sentence : OTHERS };
    this.#kinds.set(name, kind);
    kind.count++;
    if (kind.message !== sentence) kind.message = name;
    const lineBreak = this.#isTerminal ? '\r' : '';
    if (kind.count <= SHOWN_MAX) this.#write(`${lineBreak}Line ${line} ${sentence}.\n`);
    else if (kind.count === SHOWN_MAX + 1)
      this.#write(`${lineBreak}Further lines with this problem are counted, and not shown: ${kind.message}.\n`);
  }

  /** Prints the progress: on a terminal each time, otherwise every some seconds. */
  progress({ lines, problems }: { readonly lines: number; readonly problems: number }): void {
    const text = `${lines} lines, ${problems} problems`;
    if (this.#isTerminal) {
      this.#write(`\r${text}`);
      return;
    }
    const now = this.#now();
    if (now - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = now;
    this.#write(`${text}\n`);
  }

  /** Prints how many problems of each kind there were, the most frequent first. */
  summary(): void {
    if (this.#isTerminal) this.#write('\n');
    if (this.#kinds.size === 0) return;
    this.#write('Problems by kind:\n');
    const kinds = [...this.#kinds.values()].sort((one, other) => other.count - one.count);
    for (const { count, message } of kinds) this.#write(`${String(count).padStart(8)}  ${message}.\n`);
  }
}
