// Before `npm pack` and `npm publish`: a clean dist/ (nothing of deleted sources) and the prebuilt addon.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { orExit, root } from './build.js'

await orExit(async () => {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await import('./prebuild.js')
})
