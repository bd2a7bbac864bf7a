// `npm run bench -- ARGS`: builds what has changed, then runs the benchmark (bench/main.ts) with the same arguments.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build, orExit, root } from './build.js'

await orExit(() => {
  build()
  const args = [join(root, 'dist', 'bench', 'main.js'), ...process.argv.slice(2)]
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1
})
