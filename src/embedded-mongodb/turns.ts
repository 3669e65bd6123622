/**
 * The statements that wait for their next turn. One of them goes on in each turn of the event loop, in the order in which they began to wait,
 * and between two of them the server reads what the clients have sent, and answers short statements.
 */
export class Turns {
  private readonly waiting: (() => void)[] = [];

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (this.waiting.length === 1) setImmediate(this.serve);
    });
  }

  /** Resolves when nobody waits any more. */
  async idle(): Promise<void> {
    while (this.waiting.length) await new Promise(setImmediate);
  }

  private readonly serve = (): void => {
    this.waiting.shift()!();
    if (this.waiting.length) setImmediate(this.serve);
  };
}
