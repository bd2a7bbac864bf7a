// CONNECT packets that do not conform to section 3.1: each closes the connection without a CONNACK
// [MQTT-3.1.4-1], and is logged.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBroker } from '../support/broker-process.ts'
import { frame, hex, rawConnect, string, uint16 } from '../support/packets.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { target, unlessMosquitto } from '../support/target.ts'

const broker = await startBroker()
test.after.each(closeClients)
test.after(() => broker.stopCleanly())

interface Row {
  clause: string
  what: string
  bytes: Uint8Array
  /** What Mosquitto 2.0.11 does instead. */
  mosquitto?: string
}

const id = string('malformed')
const will = [string('will/topic'), string('will message')]
const connect = (flags: number, ...payload: Uint8Array[]) => rawConnect('MQTT', 4, flags, ...payload)
const illFormed = {
  'a surrogate': 'ed a0 80',
  'an overlong slash': 'c0 af',
  'an overlong form of three bytes': 'e0 80 af',
  'a byte alone that continues': '80',
  'a character cut short': 'e2 82',
  'a code point above U+10FFFF': 'f4 90 80 80',
}

const rows: Row[] = [
  { clause: 'MQTT-3.1.2-3', what: 'the reserved flag set', bytes: connect(0x03, id) },
  { clause: 'MQTT-3.1.2-14', what: 'Will QoS 3', bytes: connect(0x1e, id, ...will) },
  { clause: 'MQTT-3.1.2-13', what: 'a Will QoS without a will', bytes: connect(0x0a, id) },
  { clause: 'MQTT-3.1.2-15', what: 'Will Retain without a will', bytes: connect(0x22, id) },
  {
    clause: 'MQTT-3.1.2-22',
    what: 'a password without a user name',
    bytes: connect(0x42, id, string('password')),
  },
  { clause: 'MQTT-3.1.2-9', what: 'a will flag and no will', bytes: connect(0x06, id) },
  { clause: 'MQTT-3.1.2-9', what: 'a will topic and no will message', bytes: connect(0x06, id, will[0]!) },
  { clause: 'MQTT-3.1.2-19', what: 'a user name flag and no user name', bytes: connect(0x82, id) },
  { clause: 'MQTT-3.1.2-21', what: 'a password flag and no password', bytes: connect(0xc2, id, string('user')) },
  { clause: 'MQTT-3.1.2-11', what: 'bytes behind the client id', bytes: connect(0x02, id, hex('00')) },
  { clause: 'MQTT-3.1.2-18', what: 'a user name and no flag for it', bytes: connect(0x02, id, string('user')) },
  { clause: 'MQTT-3.1.3-3', what: 'no client id', bytes: connect(0x02) },
  { clause: 'MQTT-3.1.3-3', what: 'a client id longer than the packet', bytes: connect(0x02, hex('00 05 61')) },
  { clause: 'MQTT-1.5.3-2', what: 'U+0000 in the client id', bytes: connect(0x02, string('a\0b')) },
  { clause: 'MQTT-1.5.3-2', what: 'U+0000 in the will topic', bytes: connect(0x06, id, string('a\0'), will[1]!) },
  { clause: 'MQTT-1.5.3-2', what: 'U+0000 in the user name', bytes: connect(0x82, id, string('a\0b')) },
  { clause: 'MQTT-4.7.1-1', what: 'a wildcard in the will topic', bytes: connect(0x06, id, string('a/#'), will[1]!) },
  { clause: 'MQTT-4.7.3-1', what: 'an empty will topic', bytes: connect(0x06, id, string(''), will[1]!) },
  { clause: 'MQTT-3.1.2-1', what: 'nothing but a protocol name', bytes: frame(0x10, string('MQTT')) },
  { clause: 'MQTT-3.1.2-1', what: 'an empty body', bytes: hex('10 00') },
  { clause: 'MQTT-3.1.2-1', what: 'no Keep Alive', bytes: frame(0x10, string('MQTT'), hex('04 02')) },
  { clause: 'MQTT-3.1.2-1', what: 'half a Keep Alive', bytes: frame(0x10, string('MQTT'), hex('04 02 00')) },
  { clause: '2.2.3', what: 'a Remaining Length of five bytes', bytes: hex('10 80 80 80 80 01') },
  ...Object.entries(illFormed).map(([what, bytes]) => ({
    clause: 'MQTT-1.5.3-1',
    what: `${what} in the client id`,
    bytes: connect(0x02, string(hex(bytes))),
  })),
  {
    clause: 'MQTT-3.1.3-10',
    what: 'ill-formed UTF-8 in the will topic',
    bytes: connect(0x06, id, string(hex('c0 af')), will[1]!),
  },
  { clause: 'MQTT-3.1.3-11', what: 'ill-formed UTF-8 in the user name', bytes: connect(0x82, id, string(hex('ff'))) },
]

for (const [n, { clause, what, bytes, mosquitto }] of rows.entries()) {
  const given = mosquitto === undefined ? test : unlessMosquitto(test, mosquitto)
  given(`[${clause}] CONNECT with ${what} closes the connection without CONNACK`, async () => {
    // An address of its own each: of one kind and address one line is written, and the rest counted.
    const client = await RawClient.dial({ ...broker, localAddress: `127.0.1.${n + 1}` }, bytes)
    const { address } = client
    await client.expectClosed()
    if (target === 'mosquitto') return
    await broker.waitForLog((line) => [' WARN ', `address=${address} `, 'reason='].every((part) => line.includes(part)))
  })
}

test('[MQTT-3.1.4-1] the next client is served as if nothing had happened', async () => {
  const client = await RawClient.connect(broker, { clientId: 'next' })
  await client.expectNothing()
})

test('[MQTT-1.5.3-3] U+FEFF is part of a client id like any other character', async () => {
  const withMark = await RawClient.connect(broker, { clientId: '\ufeffmark' })
  const without = await RawClient.connect(broker, { clientId: 'mark' })
  await withMark.expectNothing()
  await without.expectNothing()
})

test('half a CONNECT and a FIN is not an accepted client', async () => {
  const bytes = frame(0x10, string('MQTT'), hex('04 02'), uint16(0), id)
  const client = await RawClient.dial(broker)
  client.end(bytes.subarray(0, 9))
  assert.is((await client.readToEnd()).bytes.length, 0)
})

test.run()
