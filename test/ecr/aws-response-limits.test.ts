// Tests that huge responses of Amazon ECR are not read into memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAwsTokenSource } from '../../src/ecr/aws-token-source.ts';
import { defaultIdentity } from '../../src/ecr/identity.ts';
import { Listener } from '../doubles/api-server/http-listener.ts';
import { writeBlocks } from '../kube/raw-server.ts';
import { getTokenError, hourMs, registry } from './token-fixtures.ts';

const hundredsOfMiB = 300 * 1024 * 1024;

describe('a response of ECR', () => {
  for (const status of [200, 400, 500]) {
    it(`of hundreds of MiB is not read completely, with status ${status}`, async (t) => {
      const written: Promise<number>[] = [];
      const listener = await Listener.start();
      t.after(() => listener.close());
      listener.setHandler((_, response) => {
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
        response.write('{"authorizationData":"');
        written.push(writeBlocks(response, 'x'.repeat(64 * 1024), hundredsOfMiB));
      });
      const before = { ...process.env };
      t.after(() => {
        process.env = before;
      });
      Object.assign(process.env, {
        AWS_ENDPOINT_URL_ECR: listener.url,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        AWS_MAX_ATTEMPTS: '1',
      });
      const tokens = createAwsTokenSource({
        resolveIdentity: () => ({ access: 'allowed', identity: defaultIdentity }),
        freshness: { fraction: 0.5, floorMs: hourMs },
        timeouts: { connectMs: 2_000, requestMs: 20_000 },
        maxKeys: 16,
        environment: {},
        now: Date.now,
        random: () => 0.5,
      });
      t.after(() => tokens.close());
      assert.equal((await getTokenError(tokens.get('team', registry()))).code, 'invalid-response');
      for (const bytes of await Promise.all(written)) {
        assert.ok(bytes < 16 * 1024 * 1024, `${bytes} bytes were taken`);
      }
    });
  }
});
