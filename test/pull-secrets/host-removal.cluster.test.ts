import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { hostsSuite } from './host-removal.suite.ts';

describeOnCluster('hosts that leave a Secret on a real API server', hostsSuite);
