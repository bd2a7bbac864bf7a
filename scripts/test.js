// `npm test [-- FILTER …]` and `npm run test:long`: builds what has changed (for the long run also the addon with
// sanitizers), then hands over to the test runner.

import { spawn } from 'node:child_process'
import { build, orExit, root, sanitizedAddon } from './build.js'

const long = process.argv.includes('--long')
if (long) process.env.MARTLET_LONG = '1'
const filters = process.argv.slice(2).filter((word) => word !== '--long')
// The native tests take a minute to compile from nothing, and need neither the addon nor JavaScript: side by side with the
// build. What goes wrong here goes wrong again in the runner, which says so.
if (filters.length === 0) spawn('sh', [`${root}/native/test/run.sh`, 'compile'], { stdio: 'ignore' })
await orExit(async () => {
  build()
  const sanitized = long ? sanitizedAddon() : undefined
  const { main } = await import(`${root}/dist/test/support/runner.js`)
  process.exitCode = await main(filters, sanitized)
})
