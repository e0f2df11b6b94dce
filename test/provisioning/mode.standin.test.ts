import { describeOnStandIn } from '../support/stand-in.ts';
import { modeSuite } from './mode.suite.ts';

describeOnStandIn('provisioning on the stand-in', modeSuite);
