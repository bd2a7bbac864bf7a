// Both catalogues by version name.

import type { VersionName } from '../protocol.ts'
import { mqtt311 } from './mqtt-3.1.1.ts'
import { mqtt50 } from './mqtt-5.0.ts'
import type { Statement } from './statement.ts'

export const catalogue: Readonly<Record<VersionName, readonly Statement[]>> = { '3.1.1': mqtt311, '5': mqtt50 }
