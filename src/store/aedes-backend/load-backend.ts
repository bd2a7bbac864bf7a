// From the name of a package to a backend: where it is looked for, and what can be wrong with it.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { asBackend, type Backend, BackendProblem } from './backend.ts'

/**
 * The file the package begins with, looked for from each folder in turn, and from here last. A path (`./mine.js`) is one too.
 * @throws BackendProblem when it is not there.
 */
export function resolveBackend(packageName: string, folders: readonly string[]): string {
  for (const from of [...folders.map((folder) => join(folder, 'martlet.js')), import.meta.url]) {
    try {
      return createRequire(from).resolve(packageName)
    } catch {
      // Not from there; what was wrong everywhere is said below.
    }
  }
  const advice = /^[./]/.test(packageName)
    ? `It was looked for from ${folders.join(' and ')}.`
    : `Install it where the broker finds it: npm install ${packageName}.`
  throw new BackendProblem(`there is no package ${packageName}`, advice)
}

/**
 * Loads the file and makes the backend: the package's function (or class) is called with the options.
 * @throws BackendProblem when it cannot be loaded, or makes something else.
 */
export async function loadBackend(file: string, options: Readonly<Record<string, unknown>>): Promise<Backend> {
  let made: unknown
  try {
    const loaded = (await import(pathToFileURL(file).href)) as Record<string, unknown>
    made = make(loaded.default ?? loaded.persistence, options)
  } catch (error) {
    if (error instanceof BackendProblem) throw error
    throw new BackendProblem(
      `it cannot be loaded (${(error as Error).message})`,
      'Does it work with this version of Node?',
    )
  }
  return asBackend(await made)
}

function make(factory: unknown, options: Readonly<Record<string, unknown>>): unknown {
  if (typeof factory !== 'function') return undefined
  const isClass = /^class\b/.test(Function.prototype.toString.call(factory))
  return isClass ? Reflect.construct(factory, [options]) : (factory as (options: unknown) => unknown)(options)
}
