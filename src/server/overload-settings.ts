// From the configuration's seconds to the broker's milliseconds, for the defences against overload.
import type { OverloadSettings } from '../broker/overload/settings.ts'
import type { Configuration } from '../config/configuration.ts'

export function overloadSettings(configuration: Configuration): OverloadSettings {
  return {
    slowReaderPolicy: configuration.slowReaderPolicy,
    maxQueuedBytesTotal: configuration.maxQueuedBytesTotal,
    maxQueuedMessagesTotal: configuration.maxQueuedMessagesTotal,
    maxQueuedDiskTotal: configuration.maxQueuedDiskTotal,
    maxOutputBytesTotal: configuration.maxOutputBytesTotal,
    maxHeapPercent: configuration.maxHeapPercent,
    takeoverDelay: configuration.takeoverDelay * 1000,
    takeoverDelayMax: configuration.takeoverDelayMax * 1000,
    loginDelay: configuration.loginDelay * 1000,
    loginDelayMax: configuration.loginDelayMax * 1000,
    rateLimitAction: configuration.rateLimitAction,
    clientMessageRate: configuration.clientMessageRate,
    clientByteRate: configuration.clientByteRate,
    addressMessageRate: configuration.addressMessageRate,
    addressByteRate: configuration.addressByteRate,
    addressConnectRate: configuration.addressConnectRate,
  }
}
