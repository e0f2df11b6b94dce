import { describeOnStandIn } from '../support/stand-in.ts';
import { denySuite } from './deny.suite.ts';
import { failuresSuite } from './failures.suite.ts';
import { injectionSuite } from './injection.suite.ts';

describeOnStandIn('on the API stand-in', (ground) => {
  injectionSuite(ground);
  failuresSuite(ground);
  denySuite(ground);
});
