// What CONNACK of MQTT 5 announces: only what differs from what a client must assume without it.
import type { Properties } from '../../mqtt/properties.ts'
import type { BrokerSettings } from '../settings.ts'

export function announcedCapabilities(settings: BrokerSettings): Properties {
  const { maxQos, maxTopicAlias } = settings
  return {
    receiveMaximum: receiveMaximum(settings),
    maximumPacketSize: settings.maxPacketSize,
    ...(maxTopicAlias === 0 ? {} : { topicAliasMaximum: maxTopicAlias }),
    ...(maxQos === 2 ? {} : { maximumQos: maxQos }), // [MQTT-3.2.2-9]
    ...(settings.retainAvailable ? {} : { retainAvailable: false }), // [MQTT-3.2.2-14]
    ...(settings.wildcardSubscriptions ? {} : { wildcardSubscriptionAvailable: false }),
    ...(settings.subscriptionIdentifiers ? {} : { subscriptionIdentifiersAvailable: false }),
    ...(settings.sharedSubscriptions ? {} : { sharedSubscriptionAvailable: false }),
  }
}

/** QoS 1 and 2 messages a client may have on their way to us. */
export function receiveMaximum(settings: BrokerSettings): number {
  return Math.min(settings.maxInflightMessages, 65535)
}
