// Whether the books of publishers and subscribers balance: nothing acknowledged is lost, QoS 2 comes once, order is kept.
import type { Publisher, Subscriber } from './book-keepers.ts'

/** What is wrong, in words; empty when the books balance. */
export function imbalances(publisher: Publisher, subscriber: Subscriber): string[] {
  const { acknowledged, topic, qos } = publisher
  const received = subscriber.received.get(topic) ?? []
  const faults: string[] = []
  const once = [...new Set(received)]
  const given = new Set(received)
  const lost = acknowledged.filter((number) => !given.has(number))
  if (lost.length > 0)
    faults.push(`${topic}: ${lost.length} acknowledged messages lost: ${lost.slice(0, 10).join(' ')}`)
  if (qos === 2 && once.length < received.length) {
    const twice = received.filter((number, at) => received.indexOf(number) !== at)
    faults.push(`${topic}: ${twice.length} QoS 2 messages twice: ${twice.slice(0, 10).join(' ')}`)
  }
  // A QoS 1 message may come again, but each comes for the first time in its turn [MQTT-4.6.0-5].
  const misplaced = once.findIndex((number, at) => at > 0 && number < once[at - 1]!)
  if (misplaced > 0) faults.push(`${topic}: ${once[misplaced]} came after ${once[misplaced - 1]}`)
  return faults
}
