import { describeOnCluster } from '../cluster/suite.ts';
import { editedSuite } from './edited.suite.ts';

describeOnCluster('what users write into a pull Secret, on a real API server,', editedSuite);
