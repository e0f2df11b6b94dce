import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { renewalSuite } from './renewal.suite.ts';

describeOnStandIn('on the API stand-in', (standIn) => renewalSuite(standIn));
