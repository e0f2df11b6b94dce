import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { renewalSuite } from './renewal.suite.ts';

describeOnCluster('on a real API server', (cluster) => renewalSuite(cluster));
