// A backend of the interface before version 10: callbacks, no promises, and no cleanIncoming.
export default function callbacks(): unknown {
  const done = (...args: unknown[]): void => (args.at(-1) as () => void)()
  return { storeRetained: done, addSubscriptions: done, outgoingUpdate: done, setup: done, destroy: done }
}
