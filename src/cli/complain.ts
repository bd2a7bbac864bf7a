// How a subcommand's parser complains: with a capital, as `martlet` itself does.

/** Writes to standard error. */
export function complain(text: string): void {
  process.stderr.write(text.replace(/^error: /, 'Error: '))
}
