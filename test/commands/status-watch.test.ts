// Tests what status --watch writes to a terminal.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startRawServer } from '../kube/raw-server.ts';
import { FakeSignals, parseValid } from './run-command.ts';

it('status --watch erases the screen of a terminal, and not what was scrolled out of it', async (t) => {
  const server = await startRawServer((_request, response) => {
    const list = { kind: 'List', metadata: { resourceVersion: '1' }, items: [] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(list));
  });
  t.after(() => server.stop());
  const signals = new FakeSignals();
  let shown = '';
  const code = await parseValid(['status', '--watch', '--kubeconfig', server.kubeconfigPath]).run({
    environment: {},
    stdout: {
      isTTY: true,
      write: (text) => {
        shown += text;
        signals.emit('SIGINT', 'SIGINT');
      },
    },
    stderr: { write: (text) => assert.fail(text) },
    signals,
  });
  assert.equal(code, 130);
  assert.ok(shown.startsWith('\u001b[H\u001b[J20'), JSON.stringify(shown.slice(0, 40)));
  assert.ok(!shown.includes('\u001b[3J'));
});
