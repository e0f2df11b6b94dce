import { describe } from 'node:test';
import { describeOnCluster } from '../cluster/suite.ts';
import { accessSuite } from './access.suite.ts';
import { applySuite } from './apply.suite.ts';
import { refusalSuite } from './refusal.suite.ts';

describeOnCluster('Secrets on a real API server', (cluster) => {
  describe('apply', () => applySuite(cluster));
  describe('refusals', () => refusalSuite(cluster));
  describe('access to one name', () => accessSuite(cluster));
});
