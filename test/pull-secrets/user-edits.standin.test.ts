import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { editedSuite } from './user-edits.suite.ts';

describeOnStandIn('what users write into a pull Secret, on the stand-in,', editedSuite);
