// Shows on a terminal that something is going on.
import { eraseLine, type TextOutput } from './print-report.ts';

export interface Spinner {
  /** Shows a text until the next call. */
  show(text: string): void;
  /** Removes what is shown. */
  clear(): void;
}

const frames = ['|', '/', '-', '\\'];
const frameMs = 100;

/** Writes nothing to a file. */
export function createSpinner(output: TextOutput): Spinner {
  let timer: NodeJS.Timeout | undefined;
  const clear = () => {
    if (timer !== undefined) {
      clearInterval(timer);
      timer = undefined;
      output.write(eraseLine);
    }
  };
  return {
    clear,
    show: (text) => {
      clear();
      if (output.isTTY === true) {
        let frame = 0;
        timer = setInterval(() => {
          output.write(`${eraseLine}${frames[frame % frames.length]} ${text}`);
          frame += 1;
        }, frameMs).unref();
      }
    },
  };
}
