// Tests that the spinner writes to a terminal only, and leaves nothing behind.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createSpinner } from '../../src/commands/spinner.ts';

it('the spinner shows a text on a terminal until it is cleared, and nothing in a file', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const write = (isTTY: boolean) => {
    const written: string[] = [];
    const spinner = createSpinner({ isTTY, write: (text) => written.push(text) });
    spinner.show('checking');
    t.mock.timers.tick(200);
    spinner.clear();
    t.mock.timers.tick(200);
    return written;
  };
  assert.deepEqual(write(true), ['\r\u001b[2K| checking', '\r\u001b[2K/ checking', '\r\u001b[2K']);
  assert.deepEqual(write(false), []);
});
