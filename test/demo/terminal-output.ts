// Loaded by a process that writes to a pipe: makes its standard output look like a terminal that is COLUMNS wide.
Object.assign(process.stdout, { isTTY: true, columns: Number(process.env['COLUMNS']) });
