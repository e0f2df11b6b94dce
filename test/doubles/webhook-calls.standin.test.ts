import { after, before, describe } from 'node:test';
import { type ApiStandIn, startApiStandIn } from './api-server/api-stand-in.ts';
import { webhooksSuite } from './webhook-calls.suite.ts';

describe('webhooks, asked by the stand-in', () => {
  let server: ApiStandIn;
  before(async () => {
    server = await startApiStandIn();
  });
  webhooksSuite(() => server);
  after(() => server.stop());
});
