// `npm test [-- FILTER …]` and `npm run test:long`: builds what has changed, then hands over to the test runner.

import { build, orExit, root } from './build.js'

if (process.argv.includes('--long')) process.env.MARTLET_LONG = '1'
await orExit(async () => {
  build()
  const { main } = await import(`${root}/dist/test/support/runner.js`)
  process.exitCode = await main(process.argv.slice(2).filter((word) => word !== '--long'))
})
