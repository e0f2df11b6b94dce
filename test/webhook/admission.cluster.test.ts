import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { failuresSuite } from './admission-failures.suite.ts';
import { injectionSuite } from './injection.suite.ts';
import { denySuite } from './on-failure-deny.suite.ts';

describeOnCluster('on a real API server', (apiServer) => {
  injectionSuite(apiServer);
  failuresSuite(apiServer);
  denySuite(apiServer);
});
