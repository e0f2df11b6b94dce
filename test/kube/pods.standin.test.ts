import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { podsSuite } from './pods.suite.ts';

describeOnStandIn('pods on the stand-in', podsSuite);
