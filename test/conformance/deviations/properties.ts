// Deviations in the properties of messages.

import * as wire from '../../../conformance/wire.ts'
import type { Deviation } from './proxy.ts'
import { forwarding, isPublish, propertiesOf, publishWith, textOf } from './words.ts'

const without = (name: string): NonNullable<Deviation['down']> =>
  forwarding((p) =>
    p.properties?.some((q) => q.name === name)
      ? {
          properties: (p.properties ?? []).filter((q) => q.name !== name).map((q) => wire.property(q.name, q.value)),
        }
      : undefined,
  )

export const properties: readonly Deviation[] = [
  {
    does: 'drops the Payload Format Indicator',
    caught: [
      'properties/payload-format-indicator-is-forwarded',
      'properties/all-survive-retention',
      'properties/all-survive-the-session-queue',
    ],
    down: without('payloadFormatIndicator'),
  },
  {
    does: 'drops the Content Type',
    caught: ['properties/content-type-is-forwarded', 'will/properties'],
    down: without('contentType'),
  },
  {
    does: 'drops the Response Topic',
    caught: ['properties/response-topic-is-forwarded'],
    down: without('responseTopic'),
  },
  {
    does: 'drops the Correlation Data',
    caught: ['properties/correlation-data-is-forwarded'],
    down: without('correlationData'),
  },
  {
    does: 'drops User Properties',
    caught: ['properties/user-properties-are-forwarded', 'will/properties'],
    down: without('userProperty'),
  },
  {
    does: 'sorts User Properties by name',
    caught: ['properties/user-properties-are-forwarded', 'will/properties'],
    down: forwarding((p) => ({
      properties: (p.properties ?? [])
        .toSorted((a, b) =>
          a.name === 'userProperty' && b.name === a.name ? (String(a.value) < String(b.value) ? -1 : 1) : 0,
        )
        .map((q) => wire.property(q.name, q.value)),
    })),
  },
  {
    does: 'keeps one User Property of a name',
    caught: ['properties/user-properties-are-forwarded'],
    down: forwarding((p) => ({
      properties: (p.properties ?? [])
        .filter(
          (q, at, all) =>
            !all
              .slice(0, at)
              .some((r) => r.name === q.name && String(r.value).split(',')[0] === String(q.value).split(',')[0]),
        )
        .map((q) => wire.property(q.name, q.value)),
    })),
  },
  {
    does: 'drops the Message Expiry Interval',
    caught: ['expiry/forwarded-at-once', 'expiry/counted-down-in-the-session'],
    down: without('messageExpiryInterval'),
  },
  {
    does: 'does not count the Message Expiry Interval down',
    caught: ['expiry/counted-down-in-the-session', 'expiry/counted-down-while-retained'],
    up(p, { world }) {
      const expiry = p.properties?.find((q) => q.name === 'messageExpiryInterval')
      if (isPublish(p) && expiry !== undefined) world.notes.set(textOf(p), expiry.value)
      return undefined
    },
    down: forwarding((p, { world }) => {
      const expiry = world.notes.get(textOf(p))
      return {
        properties: (p.properties ?? []).map((q) =>
          wire.property(
            q.name,
            q.name === 'messageExpiryInterval' && expiry !== undefined ? (expiry as number) : q.value,
          ),
        ),
      }
    }),
  },
  {
    does: 'does not know Message Expiry Intervals',
    caught: ['expiry/expired-in-the-session', 'expiry/expired-while-retained', 'expiry/expired-behind-a-full-window'],
    up: (p, link) =>
      isPublish(p) && p.properties !== undefined
        ? [
            publishWith(p, link, {
              properties: p.properties
                .filter((q) => q.name !== 'messageExpiryInterval')
                .map((q) => wire.property(q.name, q.value)),
            }),
          ]
        : undefined,
  },
  {
    does: 'sends properties to a 3.1.1 subscriber',
    caught: ['publish/from-5-to-3.1.1'],
    versions: [5],
    down: (p, link) =>
      isPublish(p) && link.version === 4
        ? [publishWith(p, link, { payload: Buffer.concat([Buffer.of(0), p.payload!]) })]
        : undefined,
  },
  {
    does: 'adds a Content Type to what came from 3.1.1',
    caught: ['publish/from-3.1.1-to-5'],
    versions: [5],
    down: forwarding((p, link) =>
      link.version === 5 ? { properties: [...propertiesOf(p), wire.property('contentType', 'text/plain')] } : undefined,
    ),
  },
]
