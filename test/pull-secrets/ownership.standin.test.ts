import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { ownershipSuite } from './ownership.suite.ts';

describeOnStandIn('on the API stand-in', (standIn) => ownershipSuite(standIn));
