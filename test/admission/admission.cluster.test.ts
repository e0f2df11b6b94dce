import { describeOnCluster } from '../cluster/suite.ts';
import { denySuite } from './deny.suite.ts';
import { failuresSuite } from './failures.suite.ts';
import { injectionSuite } from './injection.suite.ts';

describeOnCluster('on a real API server', (ground) => {
  injectionSuite(ground);
  failuresSuite(ground);
  denySuite(ground);
});
