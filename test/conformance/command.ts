// `martlet conformance` in this process, for tests.

import { main } from '../../conformance/main.ts'
import { type Faults, fakeBroker } from './fake-broker.ts'

/**
 * Runs the command with its output caught; `{}` in the arguments becomes the URL of a fake broker.
 */
export async function command(
  args: string[],
  faults: Faults = {},
): Promise<{ code: number; out: string; err: string }> {
  const broker = await fakeBroker(faults)
  let out = ''
  let err = ''
  const { write: stdout } = process.stdout
  const { write: stderr } = process.stderr
  process.stdout.write = (text: string | Uint8Array) => {
    out += String(text)
    return true
  }
  process.stderr.write = (text: string | Uint8Array) => {
    err += String(text)
    return true
  }
  try {
    const code = await main(args.map((word) => word.replace('{}', broker.url)))
    return { code, out, err }
  } finally {
    process.stdout.write = stdout
    process.stderr.write = stderr
    await broker.close()
  }
}
