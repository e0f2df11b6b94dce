import { describeOnCluster } from '../cluster/suite.ts';
import { hostsSuite } from './hosts.suite.ts';

describeOnCluster('hosts that leave a Secret on a real API server', hostsSuite);
