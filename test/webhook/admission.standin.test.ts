import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { failuresSuite } from './admission-failures.suite.ts';
import { injectionSuite } from './injection.suite.ts';
import { denySuite } from './on-failure-deny.suite.ts';

describeOnStandIn('on the API stand-in', (apiServer) => {
  injectionSuite(apiServer);
  failuresSuite(apiServer);
  denySuite(apiServer);
});
