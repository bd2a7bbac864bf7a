// A broker in a process of its own that answers what a siege asks: started by siege.ts, with settings and listeners as JSON in
// its arguments. It ends when the channel to whoever started it does.
import { createBroker } from '../../src/index.ts'
import { LogMemory } from '../broker/rig.ts'
import type { Answer, Plan, Question } from './siege.ts'

const plan = JSON.parse(process.argv[2]!) as Plan
const log = new LogMemory()
const { password } = plan
/** The hundred come in, and whoever knows the password. */
const authenticate = (login: { clientId: string; password: Uint8Array | undefined }): boolean =>
  login.clientId.startsWith('good-') || Buffer.from(login.password ?? '').toString() === password
const broker = createBroker({
  log,
  connectionMessages: false,
  ...plan.settings,
  ...(password === undefined ? {} : { authenticate }),
})
const ports: number[] = []
for (const listener of plan.listeners) ports.push((await broker.listen({ port: 0, ...listener })).port)

const say = (answer: Answer): void => {
  process.send!(answer)
}

process.on('message', (question: Question) => {
  if (question === 'state') {
    const warnings = log.at('warn').map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`)
    say({
      counters: { ...broker.counters, dropped: broker.counters.dropped },
      warnings,
      errors: log.at('error').length,
    })
  } else {
    void broker.close().then(() => process.disconnect())
  }
})
process.on('disconnect', () => process.exit())
say({ ports })
