// Tests that the HTML report is written for a cluster with very many hosts.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { htmlReport } from '../../src/commands/doctor-html.ts';

const time = '2026-01-02T03:04:05.000Z';
const hourMs = 3_600_000;

it('the bars of the HTML report keep their scale beside an expiry that no token has, which is marked', () => {
  const expiries = { due: 3 * hourMs, new: 12 * hourMs, edited: Date.parse('9999-12-31T23:59:59Z') };
  const timeline = Object.entries(expiries).map(([namespace, at]) => ({
    namespace,
    host: 'a.example',
    expiresAt: namespace === 'edited' ? at : Date.parse(time) + at,
  }));
  const html = htmlReport({
    ...{ version: '1.2.3', time, viewpoint: 'outside', apiServer: undefined, namespace: undefined },
    ...{ groups: [], timeline },
  });
  const bars = [...html.matchAll(/<div([^>]*)style="width:([\d.]+)%"><\/div><\/td><td>([^(]+)/g)];
  assert.deepEqual(
    bars.map(([, attributes, width, text]) => [attributes?.trim(), width, text?.trim()]),
    [
      ['', '25.0', 'in 3h 0m'],
      ['', '100.0', 'in 12h 0m'],
      ['class="impossible"', '100.0', 'later than any ECR token; the Secret was edited'],
    ],
  );
});

it('the HTML report shows the first of 200,000 hosts, and the number of all', () => {
  const expiresAt = Date.parse(time) + hourMs;
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
