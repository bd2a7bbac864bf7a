// The thread compaction runs in: one task, one answer, then it ends. It shares nothing with the broker but the directory, so
// neither its work nor its memory is felt there, and if it runs out of memory it dies alone.

import { parentPort, workerData } from 'node:worker_threads'
import { type CompactionTask, compact } from './compaction.ts'

parentPort!.postMessage(compact(workerData as CompactionTask))
