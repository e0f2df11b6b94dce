import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { modeSuite } from './provisioning.suite.ts';

describeOnStandIn('provisioning on the stand-in', modeSuite);
