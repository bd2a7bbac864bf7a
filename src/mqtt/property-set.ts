// The properties of one packet as an object: names as the specification has them, values as TypeScript has them.

/** A User Property: name and value. Names may repeat, and the order of all of them is kept [MQTT-3.3.2-18]. */
export type UserProperty = readonly [name: string, value: string]

/** The properties of one packet, or of a Will. What was not said is not there. Intervals are seconds. */
export interface Properties {
  readonly payloadFormatIndicator?: number
  readonly messageExpiryInterval?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Uint8Array
  readonly subscriptionIdentifiers?: readonly number[]
  readonly sessionExpiryInterval?: number
  readonly assignedClientIdentifier?: string
  readonly serverKeepAlive?: number
  readonly authenticationMethod?: string
  readonly authenticationData?: Uint8Array
  readonly requestProblemInformation?: boolean
  readonly willDelayInterval?: number
  readonly requestResponseInformation?: boolean
  readonly responseInformation?: string
  readonly serverReference?: string
  readonly reasonString?: string
  readonly receiveMaximum?: number
  readonly topicAliasMaximum?: number
  readonly topicAlias?: number
  readonly maximumQos?: number
  readonly retainAvailable?: boolean
  readonly userProperties?: readonly UserProperty[]
  readonly maximumPacketSize?: number
  readonly wildcardSubscriptionAvailable?: boolean
  readonly subscriptionIdentifiersAvailable?: boolean
  readonly sharedSubscriptionAvailable?: boolean
}

/** No properties at all: one frozen object for every packet that has none. */
export const NO_PROPERTIES: Properties = Object.freeze({})
