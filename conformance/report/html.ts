// The HTML report; written later than the others.

import { markdownReport } from './markdown.ts'
import type { RunResult } from './result.ts'

export const htmlReport = (result: RunResult): string => `<pre>${markdownReport(result)}</pre>`
