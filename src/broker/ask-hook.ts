// Asks a hook of the embedding program. One that throws or rejects refuses, and the log says why: a mistake over there
// must neither let anybody in nor cost anything but the one answer.
import type { BrokerContext } from './context.ts'
import type { Verdict } from './hooks.ts'

export function askHook(
  context: Pick<BrokerContext, 'throttled' | 'clock'>,
  clientId: string,
  question: () => Verdict | Promise<Verdict>,
): Verdict | Promise<Verdict> {
  const refused = (error: unknown): false => {
    const { throttled, clock } = context
    throttled.warn(`hook:${clientId}`, clock.now(), { client: clientId, err: error }, 'a hook failed: refused')
    return false
  }
  try {
    const verdict = question()
    return verdict instanceof Promise ? verdict.catch(refused) : verdict
  } catch (error) {
    return refused(error)
  }
}
