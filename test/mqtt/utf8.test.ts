// The UTF-8 check against the platform's own decoder, plus the one rule MQTT adds.

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeUtf8, isWellFormedUtf8 } from '../../src/mqtt/utf8.ts'

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The string, or undefined where MQTT forbids it. */
function oracle(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

function assertAgrees(bytes: Uint8Array): void {
  const expected = oracle(bytes)
  // In the middle of other bytes: a check that looks past its end finds the continuation bytes it misses
  const surrounded = new Uint8Array(bytes.length + 8).fill(0x80)
  surrounded.set(bytes, 3)
  assert.is(isWellFormedUtf8(surrounded, 3, bytes.length), expected !== undefined, Buffer.from(bytes).toString('hex'))
  if (expected !== undefined) assert.is(decodeUtf8(surrounded, 3, bytes.length), expected)
}

test('[MQTT-1.5.4-1] every sequence of one or two bytes is judged as the platform judges it', () => {
  for (let first = 0; first < 256; first++) {
    assertAgrees(Uint8Array.of(first))
    for (let second = 0; second < 256; second++) assertAgrees(Uint8Array.of(first, second))
  }
})

test('[MQTT-1.5.4-1] every lead byte with edge continuations is judged as the platform judges it', () => {
  const edges = [0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
  for (let lead = 0xc0; lead < 256; lead++) {
    for (const a of edges) {
      for (const b of edges) {
        assertAgrees(Uint8Array.of(lead, a, b))
        for (const c of edges) assertAgrees(Uint8Array.of(lead, a, b, c))
      }
    }
  }
})

test('[MQTT-1.5.4-2] random bytes are judged as the platform judges them, and U+0000 never passes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 24 }), assertAgrees), { numRuns: 3000 })
})

test('any string without U+0000 passes and comes back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const wanted = text.replaceAll('\0', '')
      const bytes = Buffer.from(wanted)
      assert.ok(isWellFormedUtf8(bytes, 0, bytes.length))
      assert.is(decodeUtf8(bytes, 0, bytes.length), wanted)
    }),
    { numRuns: 1000 },
  )
})

test('[MQTT-1.5.4-3] a byte order mark is kept', () => {
  const bytes = Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)
  assert.ok(isWellFormedUtf8(bytes, 0, 4))
  assert.is(decodeUtf8(bytes, 0, 4), '\ufeffa')
})

test('an empty string is a string', () => {
  assert.ok(isWellFormedUtf8(new Uint8Array(0), 0, 0))
  assert.is(decodeUtf8(Uint8Array.of(0x80), 0, 0), '')
})

test.run()
