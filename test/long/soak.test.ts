// Long: everything at once, for ten minutes (divided by MARTLET_LONG_DIVISOR), against a broker process that stores. Every
// door, both versions, every QoS; sessions that move from door to door, clients that are cut off, taken over or dead, shared
// groups, wills, retained messages, deaf subscribers, attackers, nonsense, renewed certificates. In the end the books
// balance: nothing lost at QoS 1 and 2, nothing twice at QoS 2, and the broker holds what it held before.
// Throughput and latency are printed, not asserted.
import { test as uvu } from 'uvu'
import * as assert from 'uvu/assert'
import type { QoS } from '../support/packets.ts'
import { type Case, longSize, longTests, sanitized, skipped } from '../support/target.ts'
import { descriptorsOf, until } from '../support/until.ts'
import { Group, Publisher, Subscriber } from './soak/books.ts'
import { type Door, type House, openHouse } from './soak/doors.ts'
import { Latencies, residentOf, SysReader, socketsOf, unfinished } from './soak/ledger.ts'
import type { Line, Version } from './soak/line.ts'
import { Attackers, Board, comeIn, Deaf, Mourner, Wills } from './soak/trouble.ts'

const test: Case = longTests ? uvu : skipped(uvu, 'MARTLET_LONG is not 1')

const SECONDS = longSize(600)
/** Messages a publisher makes every TICK, ms. */
const [PACE, TICK] = [sanitized ? 1 : 2, 40]
const versionOf = (n: number): Version => (n % 2 === 0 ? 4 : 5)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

class Soak {
  readonly house: House
  readonly publishers: readonly Publisher[]
  /** Nobody cuts these off: they see all of QoS 0, and how long it took. */
  readonly steady: readonly Subscriber[]
  /** Their sessions outlive their connections, and move from door to door. */
  readonly roaming: readonly Subscriber[]
  readonly latencies = new Latencies()
  readonly group = new Group('workers', 'soak/tcp/1')
  readonly mourner = new Mourner()
  readonly wills = new Wills()
  readonly board = new Board()
  readonly deaf = new Deaf()
  readonly attackers: Attackers
  readonly sys = new SysReader()
  #workers: Line[] = []
  #mourning: Line | undefined
  #round = 0
  #nextDoor = 0

  constructor(house: House) {
    this.house = house
    this.publishers = house.doors.flatMap(({ name }, n) =>
      ([0, 1, 2] as const).map((qos) => new Publisher(`soak/${name}/${qos}`, qos, versionOf(n + qos))),
    )
    const subscriber = (kind: string, n: number, persistent: boolean) =>
      new Subscriber({ clientId: `${kind}-${n}`, filter: 'soak/#', version: versionOf(n), persistent })
    this.steady = [0, 1].map((n) => subscriber('steady', n, false))
    this.roaming = [0, 1, 2, 3].map((n) => subscriber('roaming', n, true))
    for (const each of this.steady) each.onLatency = this.latencies.add
    this.attackers = new Attackers(house.doors, house.ports)
  }

  get subscribers(): Subscriber[] {
    return [...this.steady, ...this.roaming]
  }

  /** One door after the other. */
  door(): Door {
    return this.house.doors[this.#nextDoor++ % this.house.doors.length]!
  }

  async begin(): Promise<void> {
    await this.sys.comeIn(this.house.doors[0]!)
    this.#mourning = await this.mourner.comeIn(this.house.doors[1]!)
    for (const each of this.subscribers) await each.goThrough(this.door())
    for (const [n, each] of this.publishers.entries()) await each.goThrough(this.house.doors[Math.floor(n / 3)]!)
    this.#workers = await Promise.all([0, 1, 2].map((n) => this.group.join(this.door(), `worker-${n}`)))
    await this.deaf.comeIn(this.house.doors)
  }

  work(): void {
    for (const publisher of this.publishers) publisher.work(PACE)
  }

  /** A little of everything. */
  async trouble(): Promise<void> {
    const round = this.#round++
    await this.move(this.roaming[round % this.roaming.length]!, round)
    const cut = this.publishers.filter(({ qos }) => qos > 0)
    await cut[round % cut.length]!.goThrough(this.door())
    await this.board.write(this.door(), this.door(), versionOf(round))
    if (round % 3 === 0) await this.wills.die(this.house.doors)
    if (round % 4 === 0) await this.attackers.talkNonsense()
    if (round % 5 === 0) await this.deaf.flood(this.house.doors[0]!)
    if (round % 7 === 0) await this.replaceWorker(round)
    if (round % 20 === 0) this.attackers.attack()
    if (round % 30 === 0) await this.deaf.comeIn(this.house.doors)
    if (round % 40 === 0) await this.house.renewCertificate()
    await pause(50)
  }

  /** Away by every way there is, and back by another door. */
  async move(subscriber: Subscriber, round: number): Promise<void> {
    const way = Math.floor(round / this.roaming.length) % 3
    if (way === 0) await subscriber.lose()
    else if (way === 1) await subscriber.leave()
    if (way < 2 && round % 2 === 0) await pause(200)
    await subscriber.goThrough(this.door()) // the third way: the newer connection takes over
  }

  /** One of the shared group dies with messages in flight. */
  async replaceWorker(round: number): Promise<void> {
    const n = Math.floor(round / 7) % 2
    await this.#workers[n]!.lose()
    this.#workers[n] = await this.group.join(this.door(), `worker-${n}`)
  }

  /** Nothing new; what is under way arrives. */
  async settle(): Promise<void> {
    await until('every publish is acknowledged', () => this.publishers.every(({ isIdle }) => isIdle), 60)
    for (const each of this.subscribers) {
      const name = `${each.clientId} has everything, or says what it misses`
      await until(name, () => each.faults.length > 0 || each.hasAll(this.publishers), 60)
    }
    const shared = this.publishers.find(({ topic }) => topic === 'soak/tcp/1')!
    await until('the shared group has everything', () => this.group.missing(shared.next) === 0, 60)
    await until('every will was heard', () => this.mourner.count === this.wills.sent, 60)
  }

  /** Everybody leaves; sessions are ended, retained messages wiped. */
  async leave(): Promise<void> {
    await this.board.wipe(this.door())
    await this.deaf.end()
    for (const each of [...this.subscribers, ...this.publishers]) await each.leave()
    for (const line of [...this.#workers, this.#mourning!]) await line.leave()
    const sessions = [
      ...this.roaming.map(({ clientId }) => clientId),
      ...this.publishers.map(({ topic }) => `to-${topic}`),
    ]
    for (const clientId of sessions) await this.endSession(clientId)
  }

  async endSession(clientId: string): Promise<void> {
    await (await comeIn(this.door(), 4, { clientId, clean: true })).leave()
  }

  report(seconds: number): void {
    const { publishers, subscribers, sys } = this
    const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)
    const ofQos = (qos: QoS) => publishers.filter((each) => each.qos === qos)
    for (const qos of [0, 1, 2] as const) {
      const [made, acknowledged] = [
        sum(ofQos(qos).map(({ next }) => next)),
        sum(ofQos(qos).map((each) => each.acknowledged)),
      ]
      console.log(
        `QoS ${qos}: ${made} messages, ${acknowledged} acknowledged, to ${subscribers.length} subscribers each`,
      )
    }
    const received = sum(subscribers.map((each) => each.received))
    console.log(`delivered: ${received}, ${Math.round(received / seconds)} a second; latency ${this.latencies}`)
    console.log(
      `again at QoS 1: ${sum(subscribers.map(({ repeated }) => repeated))}; shared group: ${this.group.received}`,
    )
    const troubles = `${this.#round} rounds, ${this.wills.sent} wills, ${this.attackers.count} attacks, ${this.board.sent} retained`
    console.log(
      `${troubles}; the broker has seen ${sys.value('bytes/received')} bytes, dropped ${sys.value('publish/messages/dropped')} messages`,
    )
  }
}

test(`${SECONDS} seconds of everything lose nothing and leave nothing behind`, async () => {
  const house = await openHouse()
  const soak = new Soak(house)
  const { sys } = soak
  const { pid } = house.broker
  await sys.comeIn(house.doors[0]!)
  const gauges = [
    'clients/connected',
    'clients/total',
    'connections/socket/count',
    'subscriptions/count',
    'shared_subscriptions/count',
    'messages/stored',
    'retained messages/count',
  ]
  const state = () => Object.fromEntries(gauges.map((name) => [name, sys.value(name)]))
  const before = { ...state(), sockets: socketsOf(pid) }
  const descriptors = descriptorsOf(pid)
  await sys.leave()

  await soak.begin()
  const [start, end] = [performance.now(), performance.now() + SECONDS * 1000]
  const timer = setInterval(() => soak.work(), TICK)
  let warm = 0
  try {
    while (performance.now() < end) {
      await soak.trouble()
      if (warm === 0 && performance.now() - start > (end - start) / 4) warm = residentOf(pid)
    }
  } finally {
    clearInterval(timer)
  }
  const seconds = (performance.now() - start) / 1000
  await soak.settle()
  const busy = residentOf(pid)
  await soak.leave()
  // The attackers are still there, and say nothing: it is for the broker to end their connections.
  await until('no connection is left but one', () => socketsOf(pid) === before.sockets, 60)
  await until('no socket is on its way out', () => unfinished(house.ports).length === 0, 60)
  await sys.anew()
  soak.attackers.end()
  soak.report(seconds)

  for (const { clientId, faults } of soak.subscribers) assert.equal(faults, [], clientId)
  assert.equal(soak.mourner.twice, [])
  assert.equal({ ...state(), sockets: socketsOf(pid) }, before)
  const open = descriptorsOf(pid)
  console.log(`descriptors: ${descriptors} before, ${open} after`)
  assert.ok(open <= descriptors + 4, `${open} descriptors, ${descriptors} before`) // the store may have begun a file
  const missed = Math.max(...soak.steady.map((each) => each.missed))
  assert.ok(
    missed <= sys.value('publish/messages/dropped'),
    `${missed} QoS 0 messages missed and not counted as dropped`,
  )
  const sent = soak.publishers.reduce((sum, each) => sum + each.sent, soak.board.sent + soak.deaf.sent)
  const made = soak.publishers.reduce((sum, each) => sum + each.next, soak.board.sent + soak.deaf.sent)
  const counted = sys.value('publish/messages/received')
  console.log(`PUBLISH packets: ${made} messages in ${sent} packets sent, ${counted} counted`)
  assert.ok(
    counted >= made && counted <= sent + soak.attackers.talked,
    `${counted} PUBLISH packets received, of ${sent} with ${made} messages`,
  )
  const delivered = soak.subscribers.reduce(
    (sum, each) => sum + each.received,
    soak.group.received + soak.mourner.count,
  )
  assert.ok(
    sys.value('publish/messages/sent') >= delivered,
    `${delivered} delivered, ${sys.value('publish/messages/sent')} sent`,
  )
  const after = residentOf(pid)
  console.log(
    `resident memory: ${warm.toFixed(0)} MiB after a quarter, ${busy.toFixed(0)} MiB at the end, ${after.toFixed(0)} MiB after`,
  )
  if (!sanitized) assert.ok(after < warm + 64, `${after - warm} MiB more`)
  const faults = house.broker.log.filter((line) => /internal error|"level":(?:50|60)|ERROR/.test(line))
  assert.equal(faults, [])
  await sys.leave()
  await house.close()
})

uvu.run()
