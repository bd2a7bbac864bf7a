// What one test process said, as numbers: reads the summary uvu prints and distrusts it where uvu is known to be wrong.
// Pure. uvu exits 0 when `test.run()` was forgotten, and when a `before` hook threw (then Passed < Total).

export interface Report {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Which tests did not run and why, as the file said it: `skipped: NAME`, then `because: REASON`. */
  readonly reasons: readonly string[]
  /** What is wrong with the run as a whole, besides tests that failed. */
  readonly problem?: string
}

export interface Ending {
  readonly code: number | null
  readonly signal: string | null
  /** The deadline passed, ms. */
  readonly deadline?: number
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters.
const COLOURS = /\u001b\[[0-9;]*m/g

export function readUvu(rawOutput: string, ending: Ending): Report {
  const output = rawOutput.replace(COLOURS, '')
  const total = lastNumber(output, /^\s*Total:\s+(\d+)\s*$/gm)
  const passed = lastNumber(output, /^\s*Passed:\s+(\d+)\s*$/gm)
  const skipped = lastNumber(output, /^\s*Skipped:\s+(\d+)\s*$/gm) ?? 0
  const reasons = reasonsIn(output)
  if (total === undefined || passed === undefined) {
    const problem = abnormal(ending) ?? 'it ran no tests to the end (is `test.run()` missing?)'
    return { passed: 0, failed: 1, skipped: 0, reasons, problem }
  }
  const failed = total - passed
  const report = { passed, failed, skipped, reasons }
  if (total === 0 && skipped === 0) return { ...report, failed: 1, problem: 'it ran 0 tests' }
  const problem = failed > 0 && ending.code === 1 ? undefined : abnormal(ending)
  if (problem !== undefined) return { ...report, failed: Math.max(1, failed), problem }
  if (failed > 0 && ending.code === 0) return { ...report, problem: 'a hook failed and uvu kept silent about it' }
  return report
}

/** For checks and scripts: `N passed, N failed` as their last such line, else one check by exit code. */
export function readCheck(rawOutput: string, ending: Ending): Report {
  const output = rawOutput.replace(COLOURS, '')
  const summary = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/gm)].at(-1)
  const reasons = reasonsIn(output)
  const problem = abnormal(ending)
  if (summary === undefined) {
    return problem === undefined
      ? { passed: 1, failed: 0, skipped: 0, reasons }
      : { passed: 0, failed: 1, skipped: 0, reasons, problem }
  }
  const [passed, failed, skipped] = [Number(summary[1]), Number(summary[2]), Number(summary[3] ?? 0)]
  if (problem === undefined) return { passed, failed, skipped, reasons }
  return { passed, failed: Math.max(1, failed), skipped, reasons, ...(failed > 0 ? {} : { problem }) }
}

function abnormal({ code, signal, deadline }: Ending): string | undefined {
  if (deadline !== undefined) return `it was still running after ${deadline / 1000} s and was killed`
  if (signal !== null) return `it was ended by ${signal}`
  return code === 0 ? undefined : `it exited with code ${code}`
}

function reasonsIn(output: string): string[] {
  return [...output.matchAll(/^\s*skipped: (.+)\n\s*because: (.+)$/gm)].map(([, name, reason]) => `${name}: ${reason}`)
}

function lastNumber(text: string, pattern: RegExp): number | undefined {
  const match = [...text.matchAll(pattern)].at(-1)
  return match === undefined ? undefined : Number(match[1])
}
