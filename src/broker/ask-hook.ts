// Asks a hook of the embedding program. One that throws, rejects, answers with nonsense or not at all refuses, and the log
// says why: a mistake over there must neither let anybody in nor cost anything but the one answer.
import type { BrokerContext } from './context.ts'
import type { Hooks, Verdict } from './hooks.ts'
import { Alarm } from './overload/wait.ts'

type Asking = Pick<BrokerContext, 'throttled' | 'clock' | 'timers'> & {
  readonly settings: Pick<BrokerContext['settings'], 'hookTimeout'>
}

/** A question for one hook about one client. `legal` tells answers from nonsense; `refusal` is the answer instead. */
export interface HookQuestion<T> {
  readonly hook: keyof Hooks
  readonly clientId: string
  readonly ask: () => T | PromiseLike<T>
  readonly legal: (answer: T) => boolean
  readonly refusal: T
}

/** The verdict of a hook, at once if it answers at once; never rejects. */
export function askHook(
  context: Asking,
  hook: keyof Hooks,
  clientId: string,
  ask: () => Verdict | PromiseLike<Verdict>,
): Verdict | Promise<Verdict> {
  return putToHook(context, { hook, clientId, ask, legal: isVerdict, refusal: false })
}

/** The same for hooks whose answers are no verdicts. */
export function putToHook<T>(context: Asking, question: HookQuestion<T>): T | Promise<T> {
  try {
    const answer = question.ask()
    return isThenable(answer) ? inTime(context, question, answer) : checked(context, question, answer)
  } catch (error) {
    return refused(context, question, error)
  }
}

// A client whose hook never answered would stand still for ever, its connection open and unread.
function inTime<T>(context: Asking, question: HookQuestion<T>, answer: PromiseLike<T>): Promise<T> {
  const { timers, clock, settings } = context
  return new Promise((settle) => {
    const alarm = new Alarm(() => settle(refused(context, question, new Error('no answer within hook_timeout'))))
    timers.set(alarm, clock.now() + settings.hookTimeout)
    answer.then(
      (settled) => {
        timers.cancel(alarm)
        settle(checked(context, question, settled))
      },
      (error: unknown) => {
        timers.cancel(alarm)
        settle(refused(context, question, error))
      },
    )
  })
}

function checked<T>(context: Asking, question: HookQuestion<T>, answer: T): T {
  if (question.legal(answer)) return answer
  return refused(context, question, new TypeError(`it answered ${typeof answer}, which is no answer to this hook`))
}

function refused<T>({ throttled, clock }: Asking, { hook, clientId, refusal }: HookQuestion<T>, error: unknown): T {
  throttled.warn(`hook:${clientId}`, clock.now(), { hook, client: clientId, err: error }, 'a hook failed: refused')
  return refusal
}

/** Codes from 0x80 on refuse; Success would be a way to say yes that nobody looks for. */
function isVerdict(answer: Verdict): boolean {
  return typeof answer === 'boolean' || (Number.isInteger(answer) && answer >= 0x80 && answer <= 0xff)
}

function isThenable<T>(answer: T | PromiseLike<T>): answer is PromiseLike<T> {
  return typeof (answer as PromiseLike<T> | undefined)?.then === 'function'
}
