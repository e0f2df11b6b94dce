// Tests that the HTML report is written for a cluster with very many hosts.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { htmlReport } from '../../src/commands/doctor-html.ts';

const time = '2026-01-02T03:04:05.000Z';

it('the HTML report shows the first of 200,000 hosts, and the number of all', () => {
  const expiresAt = Date.parse(time) + 3_600_000;
  const timeline = Array.from({ length: 200_000 }, () => ({
    namespace: 'shop',
    host: 'a.example',
    expiresAt,
  }));
  const html = htmlReport({
    ...{ version: '1.2.3', time, viewpoint: 'outside', apiServer: undefined, namespace: undefined },
    ...{ groups: [], timeline },
  });
  assert.match(html, /The tokens of 200000 hosts/);
  assert.match(html, /and 199800 more, which --output json lists/);
});
