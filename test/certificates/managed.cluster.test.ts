import { describeOnCluster } from '../cluster/suite.ts';
import { managedSuite } from './managed.suite.ts';

describeOnCluster('certificates on a real API server', managedSuite);
