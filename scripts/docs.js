// `npm run docs`: writes what is made from the code. test/config/markdown.test.ts fails when it is stale.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, orExit, root } from './build.js'

await orExit(async () => {
  build()
  const { configurationMarkdown } = await import(`${root}/dist/src/config/markdown.js`)
  writeFileSync(join(root, 'docs', 'configuration.md'), configurationMarkdown())
})
