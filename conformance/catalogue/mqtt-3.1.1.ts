// MQTT 3.1.1: the catalogue of its numbered statements. Chapters 4, 6 and 7 are here, 1 to 3 beside it.

import { packets311 } from './mqtt-3.1.1-packets.ts'
import { both, client, type Statement, server, unseen } from './statement.ts'

const behaviour311: readonly Statement[] = [
  both('4.1.0-1', 'Session state is kept for the whole of the session.'),
  both('4.1.0-2', 'A session lasts at least as long as its connection.'),
  both('4.3.1-1', 'A QoS 0 message is sent with QoS 0 and DUP 0.'),
  both('4.3.2-1', 'A QoS 1 sender takes an unused identifier, sends with DUP 0, and holds the message until PUBACK.'),
  both('4.3.2-2', 'A QoS 1 receiver answers PUBACK, after which the same identifier means a new message.'),
  both(
    '4.3.3-1',
    'A QoS 2 sender takes an unused identifier, sends with DUP 0, answers PUBREC with PUBREL, holds that until ' +
      'PUBCOMP and never sends the PUBLISH again after PUBREL.',
  ),
  both(
    '4.3.3-2',
    'A QoS 2 receiver answers PUBREC, answers repetitions likewise without delivering twice, answers PUBREL with ' +
      'PUBCOMP, after which the identifier means a new message.',
  ),
  both(
    '4.4.0-1',
    'On reconnection with Clean Session 0 unacknowledged PUBLISH and PUBREL are sent again, same identifiers.',
  ),
  server('4.5.0-1', 'A message accepted by the server joins the session state of every matching subscriber.'),
  client('4.5.0-2', 'A client acknowledges every PUBLISH it receives, whether it uses it or not.'),
  both('4.6.0-1', 'PUBLISH packets sent again go out in their original order.'),
  client('4.6.0-2', 'PUBACK packets go out in the order of their PUBLISH packets.'),
  client('4.6.0-3', 'PUBREC packets go out in the order of their PUBLISH packets.'),
  both('4.6.0-4', 'PUBREL packets go out in the order of their PUBREC packets.'),
  server('4.6.0-5', 'Unless configured otherwise every topic is an ordered topic.'),
  server('4.6.0-6', 'Messages of one client on one topic and QoS reach each subscriber in the order they came.'),
  both('4.7.1-1', 'Wildcards belong into Topic Filters, never into Topic Names.'),
  both('4.7.1-2', '# stands alone or behind a separator, and is the last character.'),
  both('4.7.1-3', '+ fills a whole level, at any place in the filter.'),
  server('4.7.2-1', 'Filters that begin with a wildcard do not match topics that begin with $.'),
  both('4.7.3-1', 'Topic Names and Filters have at least one character.'),
  both('4.7.3-2', 'Topic Names and Filters contain no U+0000.'),
  unseen(
    '4.7.3-3',
    'Topic Names and Filters are at most 65,535 bytes long.',
    'a longer string cannot be expressed: its length field has two bytes',
  ),
  server('4.7.3-4', 'Topics are matched character by character, without normalization or substitution.'),
  both('4.8.0-1', 'Unless stated otherwise a protocol violation closes the connection it came on.'),
  unseen(
    '4.8.0-2',
    'A Transient Error while processing a packet closes the connection it came on.',
    'transient errors (no memory, say) cannot be provoked from outside without harming the broker',
  ),
  both('6.0.0-1', 'MQTT over WebSocket uses binary frames; any other data frame closes the connection.'),
  both('6.0.0-2', 'Packets need not be aligned with WebSocket frames, and a receiver does not assume it.'),
  client('6.0.0-3', 'A client offers the subprotocol mqtt.'),
  server('6.0.0-4', 'The server selects the subprotocol mqtt.'),
  unseen(
    '7.0.0-1',
    'A server that also connects to other servers conforms as client and as server.',
    'its outgoing connections are not seen from here',
  ),
  unseen(
    '7.0.0-2',
    'No extension from outside the specification is needed to interoperate.',
    'a statement about the whole: every other case is carried out without extensions',
  ),
  server('7.1.1-1', 'A server offers at least one ordered, lossless, bidirectional byte stream.'),
  client('7.1.2-1', 'A client uses at least one ordered, lossless, bidirectional byte stream.'),
]

export const mqtt311: readonly Statement[] = [...packets311, ...behaviour311]
