import { describeOnStandIn } from '../support/stand-in.ts';
import { onceSuite } from './once.suite.ts';

describeOnStandIn('sync and uninstall on the stand-in', onceSuite);
