import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { modeSuite } from './provisioning.suite.ts';

describeOnCluster('provisioning on a real API server', modeSuite);
