import { describeOnCluster } from '../cluster/suite.ts';
import { referencesSuite } from './references.suite.ts';

describeOnCluster('references of ServiceAccounts on a real API server', referencesSuite);
