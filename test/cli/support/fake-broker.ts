// The command with a server of node:net in place of the broker: what is tested is the command. A process of its own.
// The last argument says how the server behaves: `fine`, `slow` (the start never ends), `stuck` (close never ends), `leaky`
// (a handle stays open).

import { createServer } from 'node:net'
import { parseArguments } from '../../../src/cli/arguments.ts'
import { serve } from '../../../src/cli/serve.ts'
import type { StartServer } from '../../../src/cli/server.ts'

const behaviour = process.argv.at(-1)
const invocation = parseArguments(process.argv.slice(2, -1), '0.0.0', [])
if (invocation.kind !== 'serve') throw new Error('arguments of the fake broker')

const start: StartServer = async (configuration, log) => {
  const [{ host, port } = { host: '127.0.0.1', port: 0 }] = configuration.listeners
  if (behaviour === 'slow') {
    log.info({}, 'starting')
    await new Promise((settle) => setTimeout(settle, 60_000))
  }
  const server = createServer()
  await new Promise<void>((settle, fail) => server.once('error', fail).listen(port, host, settle))
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : 0
  return {
    everyAddress: [{ host, port: bound }],
    close: async () => {
      if (behaviour === 'stuck') await new Promise(() => {})
      if (behaviour === 'leaky') setInterval(() => {}, 1000)
      await new Promise((settle) => server.close(settle))
    },
    reload: ({ logLevel }) => log.info({ logLevel }, 'server reloaded'),
  }
}

process.exitCode = await serve(invocation.options, '0.0.0', start)
