import { after, before, describe } from 'node:test';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-server.ts';
import { accessSuite } from './access.suite.ts';
import { applySuite } from './apply.suite.ts';
import { refusalSuite } from './refusal.suite.ts';

describe('Secrets on the stand-in', () => {
  let server: ApiStandIn;
  before(async () => {
    server = await startApiStandIn();
  });
  describe('apply', () => applySuite(() => server));
  describe('refusals', () => refusalSuite(() => server));
  describe('access to one name', () => accessSuite(() => server));

  after(() => server.stop());
});
