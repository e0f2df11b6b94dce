// Tests that a request body is collected unchanged and with little unused memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ChunkBuffer } from '../../src/webhook/chunk-buffer.ts';

describe('a chunk buffer', () => {
  it('returns its content unchanged, and allocates less than one block more than that', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.integer({ min: 1, max: 64 }),
        (chunks, blockBytes) => {
          const buffer = new ChunkBuffer(blockBytes);
          for (const chunk of chunks) {
            buffer.add(Buffer.from(chunk));
          }
          const whole = Buffer.concat(chunks);
          assert.equal(buffer.length, whole.length);
          assert.ok(buffer.allocatedBytes < whole.length + blockBytes);
          assert.deepEqual(buffer.take(), whole);
          assert.equal(buffer.allocatedBytes, 0);
        },
      ),
    );
  });
});
