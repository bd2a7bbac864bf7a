// What the broker is told of a listener: its rules for those who come through it, without those that are the broker's
// own. Pure.
import type { ListenerRules, UsernameSource } from '../broker/listener-rules.ts'
import { ConfigError } from '../config/config-error.ts'
import type { ListenerConfiguration } from '../config/configuration.ts'
import type { ListenerSettingKey } from '../config/schema.ts'
import type { ListenOptions } from './listener-options.ts'
import { asksForCertificates, tlsOptions } from './tls-files.ts'

/** What a listener needs and can be looked at without opening it. Throws ConfigError, with the place if that is known. */
export function checkListener(listener: ListenerConfiguration): void {
  try {
    listenerRules(listener)
    tlsOptions(listener)
  } catch (error) {
    throw locatedIn(listener, error)
  }
}

/** A complaint about a setting of a listener, with the place where it was written, or where the listener begins. */
export function locatedIn({ places }: ListenerConfiguration, error: unknown): unknown {
  if (!(error instanceof ConfigError)) return error
  const [beginning] = places.values()
  return error.at(places.get(error.key as ListenerSettingKey) ?? beginning)
}

/** Throws ConfigError for rules that nobody could keep. */
export function listenerRules(options: ListenOptions): Partial<ListenerRules> {
  const { slowReader = 'inherit' } = options
  return {
    username: usernameSource(options),
    ...(slowReader === 'inherit' ? {} : { slowReaderPolicy: slowReader }),
  }
}

/** `identity` wins over `subject`, as in Mosquitto. A source that tells no names would refuse everybody: an error. */
function usernameSource(options: ListenOptions): UsernameSource {
  const { useIdentityAsUsername = false, useSubjectAsUsername = false, pskFile = '' } = options
  const { proxyProtocol = false, certfile = [] } = options
  const isTls = certfile.length > 0 || pskFile !== ''
  if (useIdentityAsUsername) {
    if (asksForCertificates(options) || pskFile !== '' || (proxyProtocol && !isTls)) return 'identity'
    const problem = 'nothing tells whom: cafile (with certfile), psk_file or proxy_protocol is wanted'
    throw new ConfigError({ key: 'use_identity_as_username', value: true, problem })
  }
  if (!useSubjectAsUsername) return 'connect'
  if (asksForCertificates(options)) return 'subject'
  const problem = 'nobody is asked for a certificate: certfile and cafile are wanted'
  throw new ConfigError({ key: 'use_subject_as_username', value: true, problem })
}
