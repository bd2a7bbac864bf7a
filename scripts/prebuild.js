// Copies the compiled addon to prebuilds/, named as node-gyp-build looks for it, so that the package works where install
// scripts do not run. Node-API keeps it good for every Node version; the C library it was linked with is in its name.

import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { addonFiles, build, orExit, root } from './build.js'

await orExit(() => {
  build()
  const [addon] = addonFiles()
  if (addon === undefined) throw new Error('there is no compiled addon in build/Release')
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
  const libc = process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc'
  mkdirSync(folder, { recursive: true })
  copyFileSync(addon, join(folder, `martlet.napi.${libc}.node`))
})
