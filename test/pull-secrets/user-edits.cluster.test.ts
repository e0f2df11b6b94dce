import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { editedSuite } from './user-edits.suite.ts';

describeOnCluster('what users write into a pull Secret, on a real API server,', editedSuite);
