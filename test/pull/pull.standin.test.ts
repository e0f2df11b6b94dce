import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { pullSuite } from './pull.suite.ts';

describeOnStandIn('on the API stand-in', pullSuite);
