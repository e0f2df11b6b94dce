import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { referencesSuite } from './service-account-references.suite.ts';

describeOnStandIn('references of ServiceAccounts on the stand-in', referencesSuite);
