// `martlet conformance`: judges any broker against the specification. Loaded only when asked for: it judges brokers and
// is none, so that the broker must not depend on it.

import { existsSync } from 'node:fs'
import type { Command } from '../commands.ts'
import { ExitCode } from '../exit-code.ts'

interface ConformanceCli {
  main(args: readonly string[]): Promise<number>
}

const CLI = new URL('../../../conformance/cli.js', import.meta.url)

export const conformance: Command = {
  name: 'conformance',
  summary: 'judge a broker against the MQTT specification',
  async run(args) {
    if (!existsSync(CLI)) {
      process.stderr.write('Error: the conformance runner is not part of this installation.\n')
      return ExitCode.Failed
    }
    const { main } = (await import(CLI.href)) as ConformanceCli
    return await main(args)
  },
}
