// `npm start`: builds what has changed, then becomes the broker, in this process: signals reach it without a relay.
// Without a configuration file it keeps its data in ./martlet-data; the `martlet` command keeps nothing unless told to.

import { build, orExit, root } from './build.js'

await orExit(async () => {
  build()
  const configured = process.argv.slice(2).some((word) => /^(?:-c|--config)/.test(word))
  if (!configured) process.env.MARTLET_PERSISTENCE ??= 'true'
  await import(`${root}/bin/martlet.js`)
})
