import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { pullSuite } from './pull.suite.ts';

describeOnCluster('on a real API server', pullSuite);
