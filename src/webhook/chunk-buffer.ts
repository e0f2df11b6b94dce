// The parts of a request body as they come in.

/**
 * Collects chunks by copying them into blocks. Chunks themselves are not kept, because each costs some 500 bytes beside its
 * content, and a client decides how small they are.
 */
export class ChunkBuffer {
  readonly #blockBytes: number;
  readonly #blocks: Buffer[] = [];
  #freeInLast = 0;
  /** Bytes of content so far. */
  length = 0;

  /** @param blockBytes size of the blocks that are allocated, at least 1 */
  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  /** Bytes of memory that the content takes. */
  get allocatedBytes(): number {
    return this.#blocks.length * this.#blockBytes;
  }

  add(chunk: Buffer): void {
    this.length += chunk.length;
    let from = 0;
    while (from < chunk.length) {
      if (this.#freeInLast === 0) {
        this.#blocks.push(Buffer.allocUnsafeSlow(this.#blockBytes));
        this.#freeInLast = this.#blockBytes;
      }
      const copied = chunk.copy(this.#last(), this.#blockBytes - this.#freeInLast, from);
      from += copied;
      this.#freeInLast -= copied;
    }
  }

  /** The whole content. Nothing is kept here. */
  take(): Buffer {
    const blocks = this.#blocks.splice(0);
    const [first] = blocks;
    if (blocks.length === 1 && first !== undefined) {
      return first.subarray(0, this.length);
    }
    const whole = Buffer.allocUnsafeSlow(this.length);
    let at = 0;
    for (const block of blocks) {
      at += block.copy(whole, at);
      freeMemory(block);
    }
    return whole;
  }

  #last(): Buffer {
    return this.#blocks.at(-1) ?? Buffer.alloc(0);
  }
}

/**
 * Frees the memory of a buffer at once, where the garbage collector would keep megabytes until it runs next. The buffer is
 * empty afterwards. Only for buffers that share their memory with no other, as `Gathered.take` gives them.
 */
export function freeMemory({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer) {
    buffer.transfer(0);
  }
}
