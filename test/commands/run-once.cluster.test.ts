import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { onceSuite } from './run-once.suite.ts';

describeOnCluster('sync and uninstall on a real API server', onceSuite);
