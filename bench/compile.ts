// Compiles the benchmark's C++ programs when they are first needed. Owns build/bench/: one folder for each state of the
// sources, so that a change of one line is never measured with the program of yesterday.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The package's root: this file stands in dist/bench/. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const sources = join(root, 'bench', 'native')
const flags = ['-O2', '-std=c++20', '-Wall', '-Wextra']
const libraries = ['-ldl'] // glibc before 2.34 has dlopen there

export interface Programs {
  readonly load: string
  readonly floor: string
}

/** Paths of the compiled programs. Throws an Error that holds the compiler's words when it fails or is missing. */
export async function compile(): Promise<Programs> {
  const files = (await readdir(sources)).filter((file) => /\.(cc|h)$/.test(file)).sort()
  const hash = createHash('sha256').update(flags.join(' '))
  for (const file of files) hash.update(file).update(await readFile(join(sources, file)))
  const folder = join(root, 'build', 'bench', hash.digest('hex').slice(0, 16))
  await mkdir(folder, { recursive: true })
  const units = files.filter((file) => file.endsWith('.cc'))
  return {
    load: await program(
      folder,
      'load',
      units.filter((file) => file !== 'floor.cc'),
    ),
    floor: await program(folder, 'floor', ['floor.cc']),
  }
}

async function program(folder: string, name: string, units: readonly string[]): Promise<string> {
  const target = join(folder, name)
  if (await exists(target)) return target
  // Under another name first: a second benchmark started meanwhile must not run half a program.
  const unfinished = `${target}.${process.pid}`
  const compiler = process.env.CXX ?? 'g++'
  await run(compiler, [...flags, '-o', unfinished, ...units.map((unit) => join(sources, unit)), ...libraries])
  await rename(unfinished, target)
  return target
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
