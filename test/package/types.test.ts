// The package as a strict TypeScript project sees it, by each way of resolving modules, and as CommonJS does. Within this
// repository the package's own name means what its exports say.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { repositoryRoot } from '../support/target.ts'

const CONSUMER = `
import { createBroker, ConfigError, type CreateBrokerOptions, JournalStore, type Martlet, ReasonCode } from 'martlet'
import { aedesPersistence } from 'martlet/aedes'

const options: CreateBrokerOptions = {
  store: new JournalStore({ directory: './data', onEvent: ({ level, text }) => console.error(level, text) }),
  maxQueuedMessages: 5000,
  async authenticate({ username, verified, peer }) {
    return verified || (username === 'bob' && peer !== undefined) || ReasonCode.NotAuthorized
  },
  authorizePublish: ({ client, topic, payload }) => topic.startsWith(client.clientId) && payload().length < 10,
  authorizeSubscribe: ({ topicFilter }) => !topicFilter.startsWith('#'),
  beginAuthentication: () => ({ step: (data) => ({ outcome: 'continue', data: data ?? new Uint8Array(0) }) }),
}
await using broker: Martlet = createBroker(options)
const { port }: { port: number } = await broker.listen({ port: 0, protocol: 'any', websocketsPath: '/mqtt' })
broker.on('clientConnected', (client, sessionPresent) => console.log(client.clientId.length, sessionPresent === true, port))
broker.publish({ topic: 'a', payload: Buffer.from('b'), qos: 1, properties: { contentType: 'text/plain' } })
console.log(broker.counters.connectTimeouts, broker.storeMetrics?.records, broker.droppedFor('c').queueFull)
console.log(new ConfigError({ problem: 'none' }).key, aedesPersistence({ directory: './data' }))
// @ts-expect-error: no such option
createBroker({ maxQueuedMessags: 5 })
// @ts-expect-error: a program opens its listeners itself
createBroker({ listeners: [{ port: 1883 }] })
// @ts-expect-error: no such event
broker.on('connected', () => {})
// @ts-expect-error: no such setting of a listener
await broker.listen({ prt: 1 })
`

for (const [module, moduleResolution] of [
  ['nodenext', 'nodenext'],
  ['node16', 'node16'],
  ['esnext', 'bundler'],
] as const) {
  test(`a strict project with moduleResolution ${moduleResolution} gets the types, declarations checked`, () => {
    const folder = mkdtempSync(join(repositoryRoot, 'dist', 'consumer-'))
    try {
      writeFileSync(join(folder, 'consumer.mts'), CONSUMER)
      const compilerOptions = {
        ...{ strict: true, noEmit: true, skipLibCheck: false },
        ...{ target: 'es2023', lib: ['es2023', 'esnext.disposable'], types: ['node'], module, moduleResolution },
      }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.mts'] }))
      const compiler = join(repositoryRoot, 'node_modules', 'typescript', 'bin', 'tsc')
      const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' })
      assert.is(status, 0, stdout)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

test('CommonJS gets the same names by require', () => {
  const code = "console.log(Object.keys(require('martlet')).join(' '))"
  const { stdout } = spawnSync(process.execPath, ['--no-warnings', '--eval', code], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  })
  assert.is(stdout, 'ConfigError JournalStore ReasonCode StoreError createBroker\n')
})

test.run()
