import { describeOnStandIn } from '../support/stand-in.ts';
import { editedSuite } from './edited.suite.ts';

describeOnStandIn('what users write into a pull Secret, on the stand-in,', editedSuite);
