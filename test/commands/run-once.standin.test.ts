import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { onceSuite } from './run-once.suite.ts';

describeOnStandIn('sync and uninstall on the stand-in', onceSuite);
