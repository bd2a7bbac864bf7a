// `martlet/aedes`: our durable store for Aedes, and for any broker that takes an aedes-persistence 11 backend.
//
//   import { aedesPersistence } from 'martlet/aedes'
//   const broker = await Aedes.createBroker({ persistence: aedesPersistence({ directory: './data' }) })

import { AedesPersistence, type AedesPersistenceOptions } from './aedes-persistence.ts'

export type { AedesPacket, AedesSubscription } from './aedes-packet.ts'
export { AedesPersistence, type AedesPersistenceOptions } from './aedes-persistence.ts'

/** A persistence with promises, as Aedes 1 takes it; opened by its `setup`. */
export function aedesPersistence(options: AedesPersistenceOptions): AedesPersistence {
  return new AedesPersistence(options)
}
