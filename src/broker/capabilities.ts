// What CONNACK of MQTT 5 announces: only what differs from what a client must assume without it.
import type { Properties } from '../mqtt/properties.ts'
import type { BrokerSettings } from './settings.ts'

/** Aliases a client may set on its connection. */
export const TOPIC_ALIAS_MAXIMUM = 32

export function announcedCapabilities(settings: BrokerSettings): Properties {
  return {
    receiveMaximum: receiveMaximum(settings),
    topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
    maximumPacketSize: settings.maxPacketSize,
    ...(settings.retainAvailable ? {} : { retainAvailable: false }), // [MQTT-3.2.2-14]
  }
}

/** QoS 1 and 2 messages a client may have on their way to us; 0 in the settings = no limit of our own. */
export function receiveMaximum(settings: BrokerSettings): number {
  return settings.maxInflightMessages === 0 ? 65535 : Math.min(settings.maxInflightMessages, 65535)
}
