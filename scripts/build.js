// Builds what has changed and nothing else: dependencies (npm ci), the native addon (npm's own node-gyp), TypeScript.
// Works on a fresh clone without node_modules, so it may import nothing but Node. Used by build, start and test.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const at = (...parts) => join(root, ...parts)

/** A step failed and has said why; the caller exits with code 1 and adds nothing. */
export class BuildFailure extends Error {}

/** Everything needed to run the broker and its tests. */
export function build() {
  installDependencies()
  compileAddon()
  compileTypeScript()
}

function installDependencies() {
  const lockfile = at('package-lock.json')
  const stamp = at('node_modules', '.martlet-installed')
  const wanted = hashOf([lockfile])
  if (existsSync(stamp) ? readFileSync(stamp, 'utf8') === wanted : installedSince(lockfile)) return
  say('installing dependencies (npm ci)')
  // Without scripts: no dependency needs one, and our own would compile the addon a second time.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], 'npm ci failed')
  writeFileSync(stamp, wanted)
}

/** Somebody ran npm install or npm ci by hand, after the lockfile last changed. */
function installedSince(lockfile) {
  const installed = at('node_modules', '.package-lock.json')
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs
}

/** Compiles native/ into build/Release. */
function compileAddon() {
  nodeGypBuild(root, [], {})
}

/**
 * Compiles native/ once more, under AddressSanitizer and UndefinedBehaviorSanitizer, into build/sanitized. Returns the
 * environment in which Node loads that build instead of the usual one.
 */
export function sanitizedAddon() {
  const folder = at('build', 'sanitized')
  mkdirSync(folder, { recursive: true })
  for (const name of ['binding.gyp', 'native', 'package.json', 'node_modules']) {
    const link = join(folder, name)
    if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(link) === at(name)) continue
    // A checkout that was copied or moved: its links lead to the old one, whose sources would be compiled.
    rmSync(link, { force: true })
    rmSync(join(folder, 'build'), { recursive: true, force: true })
    symlinkSync(at(name), link)
  }
  const flags = '-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g'
  nodeGypBuild(folder, [flags], { CXXFLAGS: flags, LDFLAGS: flags })
  const compiler = process.env.CXX?.split(' ')[0] ?? 'g++'
  const library = (name) => spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
  return {
    MARTLET_PREBUILD: folder, // node-gyp-build looks there first
    LD_PRELOAD: library('libasan.so'), // Node itself is not instrumented: the runtime has to be there before it
    // Node frees nothing at its end, which is no leak of ours.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  }
}

/** Runs node-gyp in `folder`, unless what it would read (and `words`) has not changed since the last time. */
function nodeGypBuild(folder, words, environment) {
  const sources = filesBelow(at('native', 'src')).filter((file) => /\.(?:cc|c|h|hh|gypi?)$/.test(file))
  const stamp = join(folder, 'build', '.martlet-compiled')
  const wanted = hashOf([at('binding.gyp'), ...sources], [process.version, process.arch, ...words])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && addonFiles(folder).length > 0) return
  checkCompiler()
  say(words.length === 0 ? 'compiling the native reactor' : 'compiling the native reactor with sanitizers')
  const nodedir = headersPrefix()
  const args = [nodeGyp(), 'configure', 'build', '--release', '--jobs=2', '--loglevel=warn']
  if (nodedir !== undefined) args.push(`--nodedir=${nodedir}`)
  rmSync(stamp, { force: true })
  const complaint = 'the native reactor did not compile; the compiler’s messages are above'
  runQuietly(process.execPath, args, complaint, { cwd: folder, env: { ...process.env, ...environment } })
  writeFileSync(stamp, wanted)
}

/** The compiled addons, absolute. */
export function addonFiles(folder = root) {
  const release = join(folder, 'build', 'Release')
  if (!existsSync(release)) return []
  return readdirSync(release)
    .filter((name) => name.endsWith('.node'))
    .map((name) => join(release, name))
}

export function compileTypeScript() {
  const compiler = at('node_modules', 'typescript', 'bin', 'tsc')
  // tsc keeps its own account of what has changed (dist/.tsbuildinfo).
  run(process.execPath, [compiler, '-p', at('tsconfig.json')], 'the TypeScript did not compile; its messages are above')
  // The declarations of src/net name the contract as a neighbour of dist/src; tsc copies no .d.ts.
  mkdirSync(at('dist', 'native'), { recursive: true })
  copyFileSync(at('native', 'index.d.ts'), at('dist', 'native', 'index.d.ts'))
}

function checkCompiler() {
  const tools = [process.env.CXX?.split(' ')[0] ?? 'g++', 'make', process.env.PYTHON ?? 'python3']
  const missing = tools.filter((tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0)
  if (missing.length === 0) return
  fail(
    `${missing.join(' and ')} not found. Martlet compiles its native reactor and needs g++, make and python3:\n` +
      '  Debian, Ubuntu:  sudo apt-get install -y g++ make python3\n' +
      '  Fedora:          sudo dnf install -y gcc-c++ make python3',
  )
}

/** npm's bundled node-gyp: beside the npm that runs us, else beside Node, else beside the npm on the PATH. */
function nodeGyp() {
  const places = []
  if (process.env.npm_execpath?.includes('npm')) places.push(join(dirname(process.env.npm_execpath), '..'))
  places.push(join(dirname(realpathSync(process.execPath)), '..', 'lib', 'node_modules', 'npm'))
  const global = () => join(spawnSync('npm', ['root', '-g'], { encoding: 'utf8' }).stdout?.trim() ?? '', 'npm')
  for (const place of [...places, global]) {
    const script = join(typeof place === 'function' ? place() : place, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
    if (existsSync(script)) return script
  }
  return fail('npm’s own node-gyp was not found. Is npm installed?')
}

/**
 * Where Node's headers are, if they are this Node's: then nothing is downloaded. An explicit nodedir wins; node-gyp
 * reads that one itself.
 */
function headersPrefix() {
  if (process.env.npm_config_nodedir !== undefined) return undefined
  const prefix = resolve(dirname(realpathSync(process.execPath)), '..')
  const versionFile = join(prefix, 'include', 'node', 'node_version.h')
  if (!existsSync(versionFile)) return undefined
  const text = readFileSync(versionFile, 'utf8')
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1]
  return `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}` === process.version ? prefix : undefined
}

function filesBelow(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

function hashOf(files, words = []) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0')
  for (const word of words) hash.update(word).update('\0')
  return hash.digest('hex')
}

function run(command, args, complaint) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error !== undefined) fail(`${complaint} (${error.message})`)
  if (status !== 0) fail(complaint)
}

/** For commands that talk a lot while all is well: what they said is shown only when they fail. */
function runQuietly(command, args, complaint, options) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { maxBuffer: 64 * 1024 * 1024, ...options })
  if (error === undefined && status === 0) return
  process.stderr.write(stdout ?? '')
  process.stderr.write(stderr ?? '')
  fail(error === undefined ? complaint : `${complaint} (${error.message})`)
}

function say(text) {
  process.stderr.write(`martlet: ${text} …\n`)
}

function fail(text) {
  process.stderr.write(`martlet: ${text}\n`)
  throw new BuildFailure(text)
}

/** Runs `work`, turning a BuildFailure (already told) into exit code 1. */
export async function orExit(work) {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof BuildFailure)) throw error
    process.exitCode = 1
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await orExit(build)
