import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { replicasSuite } from './replicas.suite.ts';

describeOnCluster('on a real API server', replicasSuite);
