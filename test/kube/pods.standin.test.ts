import { describeOnStandIn } from '../support/stand-in.ts';
import { podsSuite } from './pods.suite.ts';

describeOnStandIn('pods on the stand-in', podsSuite);
