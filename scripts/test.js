// `npm test [-- FILTER …]` and `npm run test:long`: builds what has changed (for the long run also the addon with
// sanitizers), then hands over to the test runner.

import { build, orExit, root, sanitizedAddon } from './build.js'

const long = process.argv.includes('--long')
if (long) process.env.MARTLET_LONG = '1'
await orExit(async () => {
  build()
  const sanitized = long ? sanitizedAddon() : undefined
  const { main } = await import(`${root}/dist/test/support/runner.js`)
  const filters = process.argv.slice(2).filter((word) => word !== '--long')
  process.exitCode = await main(filters, sanitized)
})
