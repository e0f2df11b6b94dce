import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { podsSuite } from './pods.suite.ts';

describeOnCluster('pods on a real API server', podsSuite);
