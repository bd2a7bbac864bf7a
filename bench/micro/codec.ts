// Reading and writing the packets of the message path, 3.1.1 and 5.
import { AcknowledgementView, readAcknowledgement } from '../../src/mqtt/acknowledgement.ts'
import { PacketType } from '../../src/mqtt/packet-type.ts'
import { PublishView, readPublish, writePublish } from '../../src/mqtt/publish.ts'
import { matches, topicProblemInBytes } from '../../src/mqtt/topic.ts'
import { time } from './measure.ts'

const calls = 1_000_000
const copies = 100 // packets read from one block, as a turn does: the same bytes again and again would be too easy
const topic = 'home/kitchen/temperature'
const payload = Buffer.alloc(64, 'x')

/** `copies` PUBLISH packets in a row, and where each begins. */
function block(qos: number, version: 4 | 5) {
  const bytes = new Uint8Array(copies * 256)
  const starts: number[] = []
  let at = 0
  for (let i = 0; i < copies; i++) {
    starts.push(at)
    at = writePublish(bytes, at, { topic, payload, qos, retain: false, dup: false, packetId: i + 1 }, version)
  }
  starts.push(at)
  return { bytes, starts }
}

const fixedHeader = 2 // bytes: these packets are shorter than 128

for (const version of [4, 5] as const) {
  for (const qos of [0, 1]) {
    const { bytes, starts } = block(qos, version)
    const view = new PublishView()
    time(`read a PUBLISH, QoS ${qos}, ${version === 5 ? 'MQTT 5' : '3.1.1'}`, calls, (count) => {
      let sum = 0
      for (let i = 0; i < count; i++) {
        const start = starts[i % copies]!
        const length = starts[(i % copies) + 1]! - start - fixedHeader
        readPublish(view, bytes[start]!, bytes, start + fixedHeader, length, version)
        sum += view.payloadLength + view.packetId
      }
      return sum
    })
  }
}

const { bytes } = block(0, 4)
time('check a Topic Name of 24 bytes', calls, (count) => {
  let sound = 0
  for (let i = 0; i < count; i++) if (topicProblemInBytes(bytes, fixedHeader + 2, topic.length) === undefined) sound++
  return sound
})

const target = new Uint8Array(256)
time('write a PUBLISH, QoS 1, 3.1.1', calls, (count) => {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const packetId = (i % 65535) + 1
    sum += writePublish(target, 0, { topic, payload, qos: 1, retain: false, dup: false, packetId }, 4)
  }
  return sum
})

const puback = Uint8Array.of(0x40, 2, 0x12, 0x34)
const acknowledgement = new AcknowledgementView()
time('read a PUBACK', calls, (count) => {
  let sum = 0
  for (let i = 0; i < count; i++) {
    readAcknowledgement(acknowledgement, PacketType.Puback, 0x40, puback, 2, 2, 4)
    sum += acknowledgement.packetId
  }
  return sum
})

time('match home/+/temperature against a Topic Name', calls, (count) => {
  let matched = 0
  for (let i = 0; i < count; i++) if (matches('home/+/temperature', topic)) matched++
  return matched
})
