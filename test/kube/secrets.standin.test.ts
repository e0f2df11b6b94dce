import { after, before, describe } from 'node:test';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { accessSuite } from './secret-access.suite.ts';
import { applySuite } from './secret-apply.suite.ts';
import { refusalSuite } from './secret-refusals.suite.ts';

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
