// What the abstract suite does not ask: that everything is there again after a restart, compacted or not.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AedesPacket, AedesPersistence } from '../../src/store/aedes/index.ts'
import { compactStore } from '../../src/store/journal-tools.ts'
import { freshDirectory } from './support.ts'

const broker = { id: 'first-boot' }

async function opened(directory: string): Promise<AedesPersistence> {
  const persistence = new AedesPersistence({ directory })
  await persistence.setup(broker)
  return persistence
}

function publish(counter: number, fields: Partial<AedesPacket> = {}): AedesPacket {
  const payload = Buffer.from(`payload ${counter}`)
  const identity = { brokerId: broker.id, brokerCounter: counter }
  return { cmd: 'publish', topic: 'a/b', payload, qos: 1, retain: false, dup: false, ...identity, ...fields }
}

async function everything(persistence: AedesPersistence): Promise<unknown> {
  const client = { id: 'c' }
  return structuredClone({
    retained: await persistence.createRetainedStream('#').toArray(),
    subscriptions: await persistence.subscriptionsByClient(client),
    matches: await persistence.subscriptionsByTopic('a/b'),
    count: await persistence.countOffline(),
    queue: await persistence.outgoingStream(client).toArray(),
    other: await persistence.outgoingStream({ id: 'd' }).toArray(),
    incoming: await persistence.incomingGetPacket(client, publish(0, { messageId: 9 })),
    will: await persistence.getWill(client),
    wills: await persistence.streamWill({}).toArray(),
    clients: await persistence.getClientList('a/+').toArray(),
  })
}

for (const compacted of [false, true]) {
  test(`after a restart Aedes finds everything as it was${compacted ? ', also in a compacted store' : ''}`, async () => {
    const directory = freshDirectory()
    const persistence = await opened(directory)
    const client = { id: 'c' }
    await persistence.addSubscriptions(client, [
      { topic: 'a/+', qos: 1, rh: 1, rap: true, nl: true, subscriptionIdentifier: 7 },
      { topic: 'gone', qos: 2, rh: 0, rap: false, nl: false },
      { topic: 'zero', qos: 0, rh: 0, rap: false, nl: false },
    ])
    await persistence.removeSubscriptions(client, ['gone'])
    await persistence.storeRetained(publish(1, { retain: true, properties: { correlationData: Buffer.from([1, 2]) } }))
    await persistence.storeRetained(publish(2, { topic: 'x', retain: true }))
    await persistence.storeRetained(publish(3, { topic: 'x', payload: Buffer.alloc(0), retain: true }))
    const both = [{ clientId: 'c' }, { clientId: 'd' }]
    for (const counter of [4, 5, 6, 7]) await persistence.outgoingEnqueueCombi(both, publish(counter, { qos: 2 }))
    await persistence.outgoingUpdate(client, publish(4, { messageId: 1 }))
    await persistence.outgoingClearMessageId(client, publish(4, { messageId: 1 }))
    await persistence.outgoingUpdate(client, publish(6, { messageId: 2 }))
    await persistence.outgoingUpdate(client, publish(5, { messageId: 1 }))
    const pubrel = { cmd: 'pubrel', messageId: 1 } as AedesPacket
    await persistence.outgoingUpdate(client, pubrel)
    await persistence.incomingStorePacket(client, publish(8, { messageId: 9 }))
    await persistence.putWill(client, publish(9, { topic: 'will' }))
    const before = await everything(persistence)
    await persistence.destroy()
    if (compacted) await compactStore(directory, () => {})
    const next = await opened(directory)
    assert.equal(shapeOf(await everything(next)), shapeOf(before))
    const queue: AedesPacket[] = await next.outgoingStream(client).toArray()
    assert.equal(
      queue.map(({ cmd, messageId }) => [cmd, messageId]),
      [
        ['pubrel', 1],
        ['publish', 2],
        ['publish', undefined],
      ],
    )
    for (const packet of queue.slice(0, 2)) assert.ok(await next.outgoingClearMessageId(client, packet))
    assert.is((await next.outgoingStream(client).toArray()).length, 1)
    await next.destroy()
  })
}

/** JSON, fields in order, so that what is undefined and what is missing are the same. */
function shapeOf(state: unknown): string {
  return JSON.stringify(
    state,
    (_, value) =>
      value !== null && typeof value === 'object' && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value,
    1,
  )
}

test.run()
