// `npm start`: builds what has changed, then becomes the broker, in this process: signals reach it without a relay.

import { build, orExit, root } from './build.js'

await orExit(async () => {
  build()
  await import(`${root}/bin/martlet.js`)
})
