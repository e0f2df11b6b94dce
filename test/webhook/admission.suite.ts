// Runs the tests of injection, of failures and of onFailure: deny with one program on each API server.
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { failuresSuite } from './admission-failure-tests.ts';
import { injectionSuite } from './injection-tests.ts';
import { denySuite } from './on-failure-deny-tests.ts';

describeOnEachApiServer('admission', (apiServer) => {
  injectionSuite(apiServer);
  failuresSuite(apiServer);
  denySuite(apiServer);
});
