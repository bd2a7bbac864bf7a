// The shape of a catalogue entry and the short words the catalogues are written with.

export interface Statement {
  /** `MQTT-3.1.0-1`. */
  id: string
  /** In our own words, one sentence. */
  text: string
  binds: 'server' | 'client' | 'both'
  /** Why no case can show it on the wire. */
  notObservable?: string
}

export const server = (id: string, text: string): Statement => ({ id: `MQTT-${id}`, text, binds: 'server' })
export const client = (id: string, text: string): Statement => ({ id: `MQTT-${id}`, text, binds: 'client' })
export const both = (id: string, text: string): Statement => ({ id: `MQTT-${id}`, text, binds: 'both' })

/** A statement for servers that leaves no mark on the wire. */
export const unseen = (id: string, text: string, notObservable: string): Statement => ({
  id: `MQTT-${id}`,
  text,
  binds: 'both',
  notObservable,
})
