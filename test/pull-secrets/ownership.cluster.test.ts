import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { ownershipSuite } from './ownership.suite.ts';

describeOnCluster('on a real API server', (cluster) => ownershipSuite(cluster));
