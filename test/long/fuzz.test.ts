// Fuzzing at length: the whole broker over sockets, then libFuzzer on the native parts (native/fuzz/run.sh). Without clang
// the latter is skipped and says so; under CI that is a failure, for .ci/run installs it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fuzzBroker } from '../fuzz/broker-fuzz.ts'
import { closeClients } from '../support/raw-client.ts'
import { longSize, repositoryRoot, skipped } from '../support/target.ts'

test.after.each(() => closeClients())

test('whatever clients say, at length', () => fuzzBroker(longSize(3000)))

const NO_COMPILER = 77
const fuzz = (seconds: string, target: string) => {
  const script = join(repositoryRoot, 'native/fuzz/run.sh')
  return spawnSync('bash', [script, seconds, target], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
}

for (const target of ['splitter', 'topic_table', 'reactor']) {
  const probe = fuzz('0', 'none')
  const given = probe.status === NO_COMPILER && !process.env.CI ? skipped(test, probe.stdout.trim()) : test
  given(`libFuzzer finds nothing in ten seconds: ${target}`, () => {
    const { status, stdout, stderr } = fuzz('10', target)
    assert.is(status, 0, `${stdout}\n${stderr}`)
  })
}

test.run()
