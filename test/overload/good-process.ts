// The hundred well-behaved clients in a process of their own, so that their latency is the broker's doing and not that of an
// attacker beside them. Started by siege.ts; at a message it has them show what they saw, and ends.
import { WellBehaved } from './well-behaved.ts'

const [host, port] = process.argv.slice(2)
const good = await WellBehaved.start({ host: host!, port: Number(port) })
process.on('message', () => {
  void good
    .finish()
    .then(
      (figures) => process.send!({ figures }),
      (error: unknown) => process.send!({ failure: error instanceof Error ? error.stack : String(error) }),
    )
    .then(() => process.disconnect())
})
process.on('disconnect', () => process.exit())
process.send!('ready')
