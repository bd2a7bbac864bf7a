// Brokers inside the test's own process, through the public API. Owns them: `closeBrokers` closes what a test left open.
import { type CreateBrokerOptions, createBroker, type Martlet } from '../../src/index.ts'
import { tinySizes } from './target.ts'

export interface EmbeddedBroker {
  readonly broker: Martlet
  readonly host: string
  readonly port: number
}

const open = new Set<Martlet>()

// The reactor's smallest sizes, as in broker-process.ts, and shortcuts for messages from the second one on.
const tiny: CreateBrokerOptions = {
  inboxSize: 4096,
  inboxRecords: 64,
  outboxWords: 256,
  outboxSize: 1024,
  topicIds: 8,
  readSize: 64,
  shortcutAfter: 1,
}

if (tinySizes) process.env.MARTLET_POISON = '1'

/** Creates a broker that listens on a free port of 127.0.0.1. */
export const listen = async (options: CreateBrokerOptions = {}): Promise<EmbeddedBroker> => {
  const broker = createBroker({ ...(tinySizes ? tiny : {}), ...options })
  open.add(broker)
  const { host, port } = await broker.listen({ port: 0 })
  return { broker, host, port }
}

/** Closes every broker: for `test.after.each`. */
export const closeBrokers = async (): Promise<void> => {
  await Promise.all([...open].map((broker) => broker.close()))
  open.clear()
}
