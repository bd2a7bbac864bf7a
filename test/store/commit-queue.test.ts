// What becomes of commits that the device refuses, with a device made of an array: each of them is written in the end, before
// anything newer, and until then nobody is told that it was.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CommitGroup } from '../../src/store/journal/commit-group.ts'
import { CommitQueue } from '../../src/store/journal/commit-queue.ts'
import { RecordEncoder } from '../../src/store/journal/record-encoder.ts'
import type { SegmentWriter } from '../../src/store/journal/segment-writer.ts'
import { newMetrics } from '../../src/store/journal/store-events.ts'
import { publication } from './support.ts'

/** Takes or refuses what it is given, and remembers how many commits each write had. */
class Device {
  works = true
  fileId: number | undefined
  end = 0
  readonly writes: number[] = []
  #nextId = 1

  takeId(): number {
    return this.#nextId++
  }

  async write(group: CommitGroup): Promise<void> {
    await undefined
    if (!this.works) {
      this.fileId = undefined
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    this.fileId = group.fileId
    this.end += group.bytes
    this.writes.push(group.commits.length)
  }

  async close(): Promise<void> {}
}

function queueOn(
  device: Device,
  maxWaitingBytes: number,
): { queue: CommitQueue; metrics: ReturnType<typeof newMetrics> } {
  const metrics = newMetrics()
  const queue = new CommitQueue(device as unknown as SegmentWriter, new RecordEncoder(), {
    early: false,
    segmentBytes: 1 << 20,
    maxWaitingBytes,
    metrics,
    tell: () => {},
    wrote: () => {},
  })
  return { queue, metrics }
}

const refused = (commit: Promise<void>): Promise<boolean> =>
  commit.then(
    () => false,
    () => true,
  )

test('a refused batch larger than all that may wait is kept and written like any other: who hears "stored" may answer', async () => {
  const device = new Device()
  const { queue, metrics } = queueOn(device, 1000)
  device.works = false
  assert.ok(await refused(queue.commit(publication(1, 'c', new Uint8Array(5000)))))
  device.works = true
  while (queue.refusal !== undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  await queue.commit([])
  assert.is(metrics.recordsLost, 0)
  assert.equal(device.writes, [1])
  await queue.close()
})

test('of many refused commits only as many are kept as may wait, and those that are not are counted', async () => {
  const device = new Device()
  const { queue, metrics } = queueOn(device, 1000)
  device.works = false
  const commits = [1, 2, 3].map((message) => refused(queue.commit(publication(message, 'c', new Uint8Array(600)))))
  assert.equal(await Promise.all(commits), [true, true, true])
  assert.is(metrics.commitsRefused, 3)
  assert.is(metrics.recordsLost, 4, 'two records each of the second and the third')
  await queue.close()
})

test.run()
