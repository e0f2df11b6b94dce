import { describeOnStandIn } from '../support/stand-in.ts';
import { admissionSuite } from './admission.suite.ts';

describeOnStandIn('on the API stand-in', admissionSuite);
