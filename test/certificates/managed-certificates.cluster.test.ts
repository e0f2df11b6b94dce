import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { managedSuite } from './managed-certificates.suite.ts';

describeOnCluster('certificates on a real API server', managedSuite);
