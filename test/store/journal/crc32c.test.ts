import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { crc32c } from '../../../src/store/journal/crc32c.ts'

function checksum(bytes: Uint8Array): number {
  return crc32c(bytes, 0, bytes.length)
}

test('the checksum is the one of RFC 3720, appendix B.4', () => {
  assert.is(checksum(new Uint8Array(32)), 0x8a9136aa)
  assert.is(checksum(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.is(checksum(Uint8Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e)
  assert.is(checksum(Uint8Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c)
  assert.is(checksum(Buffer.from('123456789')), 0xe3069283)
})

test('eight bytes a step give what one bit a step gives, in pieces or at once', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(), (bytes, cut) => {
      let crc = 0xffffffff
      for (const byte of bytes) {
        crc ^= byte
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
      }
      const middle = cut % (bytes.length + 1)
      assert.is(checksum(bytes), ~crc >>> 0)
      assert.is(crc32c(bytes, middle, bytes.length, crc32c(bytes, 0, middle)), ~crc >>> 0)
    }),
  )
})

test.run()
