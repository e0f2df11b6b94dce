import { describeOnCluster } from '../cluster/suite.ts';
import { admissionSuite } from './admission.suite.ts';

describeOnCluster('on a real API server', admissionSuite);
