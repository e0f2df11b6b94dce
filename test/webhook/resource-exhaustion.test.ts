// Tests that hostile requests cannot exhaust the memory or the connections of the webhook.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import {
  buildLargeReview,
  buildReviewWithHosts,
  costlyBodies,
  slowestParsedBodies,
} from './costly-requests.ts';
import { startMemoryLimitedWebhook } from './memory-limited-webhook.ts';

const MiB = 1024 * 1024;

/** The chart's memory limit. */
const limitBytes = 256 * MiB;

/** Maximum CPU time of one stall of the event loop, in ms: twice the goal, because CPU time grows on a busy machine as well. */
const stallLimitMs = 500;

describe('a process with the memory limit of the chart survives', () => {
  for (const [name, body] of Object.entries(costlyBodies)) {
    it(`bodies that need much memory when parsed: ${name}`, async () => {
      const { post, measure } = await startMemoryLimitedWebhook();
      const text = body();
      for (const options of [{}, { chunked: true }]) {
        const responses = await Promise.all(Array.from({ length: 4 }, () => post(text, options)));
        for (const response of responses) {
          assert.ok(response === undefined || [413, 503].includes(response.status), `${response?.status}`);
        }
      }
      assert.equal((await post(buildLargeReview(0.01, 'fresh')))?.status, 200);
      const { maxStallMs, maxRss } = await measure();
      assert.ok(maxStallMs < stallLimitMs, `stalled for ${maxStallMs} ms`);
      assert.ok(maxRss < limitBytes, `${maxRss} bytes`);
    });
  }
  for (const [name, body] of Object.entries(slowestParsedBodies)) {
    it(`the largest bodies that are parsed: ${name}`, async () => {
      const { post, measure } = await startMemoryLimitedWebhook();
      const text = body();
      await post(text);
      await Promise.all(Array.from({ length: 8 }, () => post(text)));
      const { maxStallMs, maxRss } = await measure();
      assert.ok(maxStallMs < stallLimitMs, `stalled for ${maxStallMs} ms`);
      assert.ok(maxRss < limitBytes, `${maxRss} bytes`);
    });
  }
  it('large pending reviews, and keeps none of their bodies', async () => {
    const { post, measure } = await startMemoryLimitedWebhook();
    await post(buildLargeReview(2.9, 'fresh'));
    const before = await measure();
    const pending = Array.from({ length: 30 }, () => post(buildLargeReview(2.9)));
    await Promise.all(pending.slice(0, 1));
    const { heapUsed, maxRss, maxStallMs } = await measure();
    assert.ok(heapUsed - before.heapUsed < 15 * MiB, `${heapUsed - before.heapUsed} bytes are kept`);
    assert.ok(maxStallMs < stallLimitMs, `stalled for ${maxStallMs} ms`);
    const statuses = (await Promise.all(pending)).map((response) => response?.status);
    assert.ok(
      statuses.every((status) => status === 200 || status === 503),
      `${statuses}`,
    );
    assert.ok(statuses.includes(200));
    assert.ok(maxRss < limitBytes, `${maxRss} bytes`);
  });

  it('reviews of pods with thousands of hosts, while a region hangs', async () => {
    const { post, measure } = await startMemoryLimitedWebhook();
    const before = await measure();
    const pending = Array.from({ length: 40 }, (_, index) =>
      post(buildReviewWithHosts(15_000, `team-${index}`)),
    );
    assert.ok((await pending[0])?.text.includes('patch'));
    const { maxRss, maxStallMs, heapUsed } = await measure();
    assert.ok(heapUsed - before.heapUsed < 60 * MiB, `${heapUsed - before.heapUsed} bytes are kept`);
    assert.ok(maxStallMs < stallLimitMs, `stalled for ${maxStallMs} ms`);
    assert.ok(maxRss < limitBytes, `${maxRss} bytes`);
    await Promise.all(pending);
  });

  it('more TLS connections than the maximum, and closes none that are in use', async () => {
    const maxConnections = 100;
    const { port, ca, post, measure, countConnections } = await startMemoryLimitedWebhook(maxConnections);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: ca.certPem });
    assert.equal((await post(buildLargeReview(0.01, 'fresh'), { agent }))?.status, 200);
    const idle: TLSSocket[] = [];
    for (let count = 0; count < 5 * maxConnections; count += 1) {
      const socket = connect({ host: '127.0.0.1', port, ca: ca.certPem });
      socket.on('error', () => undefined); // it is closed to make room for others
      await once(socket, 'secureConnect');
      idle.push(socket);
    }
    assert.ok((await countConnections()) <= maxConnections);
    const kept = await post(buildLargeReview(0.01, 'fresh'), { agent });
    assert.deepEqual([kept?.status, kept?.reused], [200, true]);
    assert.equal(
      (await post(buildLargeReview(0.01, 'fresh')))?.status,
      200,
      'a new connection is accepted too',
    );
    const { maxStallMs } = await measure();
    assert.ok(maxStallMs < stallLimitMs, `stalled for ${maxStallMs} ms`);
    for (const socket of idle) {
      socket.destroy();
    }
    agent.destroy();
  });
});
