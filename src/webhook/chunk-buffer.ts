// Collects the chunks of a request body in bounded memory.

/**
 * Collects chunks by copying them into blocks. The chunks themselves are not kept, because each has an overhead of about
 * 500 bytes, and the client decides how small they are.
 */
export class ChunkBuffer {
  readonly #blockBytes: number;
  readonly #blocks: Buffer[] = [];
  #freeInLast = 0;
  /** Size of the content so far, in bytes. */
  length = 0;

  /** @param blockBytes size of each block, at least 1 */
  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
  }

  /** Size of all blocks, in bytes. */
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

  /** Returns the whole content and empties the buffer. */
  take(): Buffer {
    const blocks = this.#blocks.splice(0);
    const [first] = blocks;
    if (blocks.length === 1 && first !== undefined) {
      return first.subarray(0, this.length);
    }
    const whole = Buffer.allocUnsafeSlow(this.length);
    let offset = 0;
    for (const block of blocks) {
      offset += block.copy(whole, offset);
      freeMemory(block);
    }
    return whole;
  }

  #last(): Buffer {
    return this.#blocks.at(-1) ?? Buffer.alloc(0);
  }
}

/**
 * Frees the memory of a buffer at once instead of at the next garbage collection. The buffer is empty afterwards. Only for
 * buffers that share their memory with no other, such as the result of {@link ChunkBuffer.take}.
 */
export function freeMemory({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer) {
    buffer.transfer(0);
  }
}
