import { describeOnCluster } from '../cluster/suite.ts';
import { modeSuite } from './mode.suite.ts';

describeOnCluster('provisioning on a real API server', modeSuite);
