import { describeOnStandIn } from '../support/stand-in.ts';
import { referencesSuite } from './references.suite.ts';

describeOnStandIn('references of ServiceAccounts on the stand-in', referencesSuite);
