import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { referencesSuite } from './service-account-references.suite.ts';

describeOnCluster('references of ServiceAccounts on a real API server', referencesSuite);
