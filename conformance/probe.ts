// Asks the broker what it offers before any case runs, so that optional features are skipped and not failed.

import { Context } from './context.ts'
import { ALL_FEATURES, type Features, featuresOf } from './features.ts'
import { describe } from './packet.ts'
import type { Version } from './protocol.ts'
import type { Target } from './target.ts'
import { Failed } from './verdict.ts'
import * as wire from './wire.ts'

export interface Probe {
  features: Features
  /** What it says it is. */
  name?: string
  /** Set when the broker does not speak this version to us. */
  unsupported?: string
}

/** Connects once or twice with the version. Rejects only when there is no network connection. */
export async function probe(
  target: Target,
  webSocket: Target | undefined,
  version: Version,
  unique: string,
  patience: number,
): Promise<Probe> {
  const features = { ...ALL_FEATURES, websocket: webSocket !== undefined }
  const t = new Context({ target, webSocket, version, features, unique, patience })
  try {
    const client = await t.open('probe')
    const connack = await client.connect(t.connectOptions({ clientId: t.id('p') }))
    if (connack.code !== 0) return { features, unsupported: `the server answered ${describe(connack)}` }
    const offered = version === 5 ? featuresOf(connack) : await attempt(() => tryFeatures(t, features), features)
    if (version === 5) offered.sessions = await attempt(() => keepsSessions(t), true)
    offered.emptyClientId = await attempt(() => acceptsEmptyClientId(t), true)
    const name = await attempt(() => nameOf(t), undefined)
    return { features: { ...offered, websocket: webSocket !== undefined }, ...(name === undefined ? {} : { name }) }
  } catch (error) {
    if (error instanceof Failed) return { features, unsupported: error.message }
    throw error
  } finally {
    await t.cleanUp()
  }
}

/** A broker that fails while it is probed is taken to offer everything: its cases will say what is wrong. */
async function attempt<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Failed) return otherwise
    throw error
  }
}

/** MQTT 3.1.1 announces nothing: subscribe and see. */
async function tryFeatures(t: Context, features: Features): Promise<Features> {
  const client = await t.connect({ clientId: t.id('q') })
  const suback = await client.subscribe([[`${t.topic('probe')}/+`, 2]], 0, { anyCode: true })
  const topic = t.topic('retained')
  client.send(wire.publish(4, { topic, payload: 'x', retain: true }))
  await client.flush()
  await client.subscribe([[topic, 0]], 0, { anyCode: true })
  const message = await client.takeIfAny('publish')
  return { ...features, wildcards: suback.codes?.[0] !== 0x80, retain: message !== undefined }
}

const NAMED_IN = '$SYS/broker/version'
const MAX_NAME = 80

/** The name and release of the broker, where many of them tell it. */
async function nameOf(t: Context): Promise<string | undefined> {
  const client = await t.connect({ clientId: t.id('v') })
  await client.subscribe([[NAMED_IN, 0]], 0, { anyCode: true })
  const message = (await client.flush()).find((p) => p.kind === 'publish' && p.topic === NAMED_IN)
  return message?.payload?.toString('utf8').slice(0, MAX_NAME)
}

async function keepsSessions(t: Context): Promise<boolean> {
  const client = await t.connectPersistent({ clientId: t.id('r') })
  const granted = client.connack?.properties?.find((p) => p.name === 'sessionExpiryInterval')
  await client.disconnect()
  return granted === undefined || granted.value !== 0
}

async function acceptsEmptyClientId(t: Context): Promise<boolean> {
  const client = await t.open('probe with an empty ClientId')
  client.send(wire.connect(t.version, t.connectOptions({ clientId: '' })))
  const connack = await client.takeIfAny('connack')
  return connack?.code === 0
}
