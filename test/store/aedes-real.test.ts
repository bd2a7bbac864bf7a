// Our store under a real Aedes, with the mqtt package as client: what a session had before Aedes was started again it has after.

import { createServer, type Server } from 'node:net'
import { Aedes } from 'aedes'
import mqtt, { type MqttClient } from 'mqtt'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AedesPersistence, aedesPersistence } from '../../src/store/aedes/index.ts'
import { freshDirectory } from './support.ts'

interface Running {
  readonly aedes: Aedes
  readonly persistence: AedesPersistence
  readonly server: Server
  readonly port: number
}

async function started(directory: string): Promise<Running> {
  const persistence = aedesPersistence({ directory })
  // Its types are those of the interface with callbacks; it calls the one with promises.
  const aedes = await Aedes.createBroker({ persistence: persistence as never })
  const server = createServer(aedes.handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return { aedes, persistence, server, port }
}

async function stopped({ aedes, persistence, server }: Running): Promise<void> {
  await new Promise<void>((resolve) => aedes.close(() => resolve()))
  await new Promise<void>((resolve) => server.close(() => resolve()))
  await persistence.destroy()
}

const connected = (port: number, clientId: string, clean = false): Promise<MqttClient> =>
  mqtt.connectAsync({ host: '127.0.0.1', port, clientId, clean, reconnectPeriod: 0 })

/** A client with a session, back again, and the first `count` messages it gets: they may come before anybody could ask. */
async function resumed(
  port: number,
  clientId: string,
  count: number,
): Promise<{ client: MqttClient; texts: string[] }> {
  const client = mqtt.connect({ host: '127.0.0.1', port, clientId, clean: false, reconnectPeriod: 0 })
  const texts: string[] = []
  await new Promise<void>((resolve, reject) => {
    client.once('error', reject)
    client.on('message', (_, payload, { retain }) => {
      texts.push(`${payload}${retain ? ' retained' : ''}`)
      if (texts.length === count) resolve()
    })
  })
  return { client, texts }
}

for (const qos of [1, 2] as const) {
  test(`a session of QoS ${qos} and its queue, in order, survive a restart of Aedes; what was acknowledged does not come again`, async () => {
    const directory = freshDirectory()
    let running = await started(directory)
    const away = await connected(running.port, 'away')
    await away.subscribeAsync('a/+', { qos })
    await away.endAsync()
    const publisher = await connected(running.port, 'p', true)
    for (let n = 0; n < 20; n++) await publisher.publishAsync('a/b', `${n}`, { qos })
    // QoS 1: Aedes 1.2 closes a client that has a session at the PUBREC of a retained message, with its own store as well.
    await publisher.publishAsync('kept', 'this', { qos: 1, retain: true })
    await publisher.endAsync()
    await stopped(running)

    running = await started(directory)
    const back = await resumed(running.port, 'away', 20)
    assert.equal(
      back.texts,
      Array.from({ length: 20 }, (_, n) => `${n}`),
    )
    const kept = new Promise<string>((resolve) =>
      back.client.on('message', (topic, payload) => {
        if (topic === 'kept') resolve(payload.toString())
      }),
    )
    await back.client.subscribeAsync('kept', { qos: 1 })
    assert.is(await kept, 'this')
    await back.client.endAsync()
    await stopped(running)

    running = await started(directory)
    const late = await connected(running.port, 'late', true)
    await late.publishAsync('a/b', 'news', { qos })
    await late.endAsync()
    const again = await resumed(running.port, 'away', 1)
    assert.equal(again.texts, ['news'])
    await again.client.endAsync()
    await stopped(running)
  })
}

test.run()
