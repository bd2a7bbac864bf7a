// A short run of the fuzzer over the whole broker; test/long/fuzz.test.ts is the long one.
import { test } from 'uvu'
import { closeClients } from '../support/raw-client.ts'
import { fuzzBroker } from './broker-fuzz.ts'

test.after.each(() => closeClients())

test('whatever clients say, the broker serves the others, and holds nothing when they have gone', () => fuzzBroker(40))

test.run()
