// Loaded before the program: its clock is an hour fast. The certificates that Node verifies and the clock of AWS are not affected.

/** An hour, and a minute because doctor measures the difference to one second and shows whole minutes. */
const fastMs = 3_660_000;
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...args: [] | [number | string | Date]) {
    super(...((args.length === 0 ? [RealDate.now() + fastMs] : args) as [number]));
  }

  static override now(): number {
    return RealDate.now() + fastMs;
  }
} as DateConstructor;
