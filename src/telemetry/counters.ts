// What the broker counts: plain fields, so that the hot path pays one `counters.x++` and no call.
// Owned by one server, written by whoever sees the event, read by $SYS and metrics. Nothing here resets.
// Fields that say "now" are gauges: they go up and down.

export class Counters {
  // Network connections
  /** Accepted since the start. */
  connectionsTotal = 0
  /** Open now, admitted or not. */
  connectionsCurrent = 0
  /** The most that were open at one time. */
  connectionsMaximum = 0
  /** Accepted and closed at once: no free slot, or the listener's limit. */
  connectionsRefused = 0
  /** Connections whose TLS, WebSocket or PROXY header could not go on: a failed handshake, plain HTTP. */
  streamsFailed = 0
  /** Times a listener stopped accepting because descriptors ran out. */
  acceptPauses = 0

  // Clients
  /** Connected clients now (CONNECT accepted). */
  clientsConnected = 0
  /** The most at one time. */
  clientsMaximum = 0
  /** CONNECTs answered with acceptance, since the start. */
  connectsAccepted = 0
  /** CONNECTs answered with a refusal. */
  connectsRefused = 0
  /** Connections that sent no CONNECT in time. */
  connectTimeouts = 0
  /** Clients that broke their Keep Alive. */
  keepAliveTimeouts = 0
  /** Connections whose output made no progress for write_timeout. */
  writeTimeouts = 0
  /** Connections taken over by a newer one with the same Client Identifier. */
  takeovers = 0

  // Sessions and subscriptions
  /** Kept now, of connected and of absent clients. */
  sessions = 0
  /** Absent clients' sessions that ran out. */
  sessionsExpired = 0
  /** Now, over all sessions. */
  subscriptions = 0
  /** Now, those of shared groups among them. */
  sharedSubscriptions = 0
  /** Messages waiting in session queues now. */
  messagesQueued = 0
  /** Their bytes. */
  bytesQueued = 0
  /** Those of them whose payloads are on disk only, now. */
  messagesPaged = 0
  bytesPaged = 0

  // Control Packets of every type
  messagesReceived = 0
  messagesSent = 0
  /** On the wire, copied from the reactor's totals before $SYS is made. */
  bytesReceived = 0
  bytesSent = 0

  // PUBLISH
  publishReceived = 0
  publishSent = 0
  /** Received PUBLISH packets that native code passed on without asking: shortcut_after. */
  shortcuts = 0
  /** Their payload bytes. */
  shortcutBytes = 0
  /** Received PUBLISH packets whose Topic Name had no id: new, rare, or one of more than topic_ids. */
  topicsUnknown = 0
  /** Payload bytes. */
  publishBytesReceived = 0
  publishBytesSent = 0

  // Messages that did not reach a receiver, by reason
  /** The session's queue was full. */
  droppedQueueFull = 0
  /** QoS 0, and the connection had output_limit waiting. */
  droppedOutputFull = 0
  /** QoS 0 of a shared subscription, and the output of every member who is there was full. */
  droppedGroupFull = 0
  /** Larger than the receiver's Maximum Packet Size. */
  droppedTooLarge = 0
  /** Their Message Expiry Interval ran out in a queue. */
  droppedExpired = 0
  /** Delivered but not kept as retained: a limit of the retained store. */
  droppedRetained = 0
  /** Still queued when their session ended. */
  droppedSessionEnded = 0
  /** All queues together were full, or V8's heap. */
  droppedMemory = 0

  // Store
  /** Batches the store has taken. */
  storeCommits = 0
  /** Batches it refused; each was offered again. */
  storeFailures = 0
  /** Times queued messages could not be read back from it; each disconnected a client. */
  queueReadFailures = 0
  /** Publishes refused with 0x97 because the store failed. */
  publishesUnstored = 0
  /** Publishes that wait for room in the store now, unanswered, their clients read no further. */
  publishesWaiting = 0

  // Retained messages
  /** Kept now. */
  retained = 0
  retainedBytes = 0

  // Wills
  willsPublished = 0

  // Overload
  /** Subscribers disconnected because they read too slowly. */
  slowReadersDisconnected = 0
  /** Publishes of MQTT 5 clients answered with 0x97 for want of memory. */
  publishesRefused = 0
  /** Newcomers that had to wait for a Client Identifier others fight for. */
  takeoversDelayed = 0
  /** Refusals of failed logins held back. */
  loginsDelayed = 0
  /** CONNECTs turned away unseen, for the failed logins of their address. */
  loginsRefused = 0
  /** Times a client was not read for a while because it sent too much. */
  clientsSlowed = 0
  /** Clients disconnected because they sent too much. */
  clientsOverRate = 0
  /** CONNECTs over their address's rate: made to wait, or refused. */
  connectsLimited = 0
  /** Times V8's heap was short of room. */
  memoryShortages = 0
  /** Subscriptions over max_subscriptions_per_client, or refused for want of memory. */
  subscriptionsRefused = 0
  /** Sessions, subscriptions and retained messages refused while it was. */
  refusedForMemory = 0
  /** Bytes given back to the system after bursts. */
  memoryReturned = 0
  /** Wills that waited for the next turn because too many were due at once. */
  willsPostponed = 0

  // Faults
  /** Packets that are not MQTT. */
  malformedPackets = 0
  /** Packets that are MQTT but not allowed there. */
  protocolErrors = 0
  /** Packets over max_packet_size, or over the limit before CONNECT. */
  oversizedPackets = 0
  /** Publishes and subscriptions refused by authorization. */
  notAuthorized = 0
  /** Exceptions of our own; each closed one client. */
  internalErrors = 0

  /** All reasons together. */
  get dropped(): number {
    return (
      this.droppedQueueFull +
      this.droppedOutputFull +
      this.droppedGroupFull +
      this.droppedTooLarge +
      this.droppedExpired +
      this.droppedRetained +
      this.droppedSessionEnded +
      this.droppedMemory
    )
  }

  /** One connection more, with the maximum kept. */
  connectionOpened(): void {
    this.connectionsTotal++
    if (++this.connectionsCurrent > this.connectionsMaximum) this.connectionsMaximum = this.connectionsCurrent
  }

  connectionClosed(): void {
    this.connectionsCurrent--
  }

  /** One connected client more, with the maximum kept. */
  clientConnected(): void {
    this.connectsAccepted++
    if (++this.clientsConnected > this.clientsMaximum) this.clientsMaximum = this.clientsConnected
  }

  clientDisconnected(): void {
    this.clientsConnected--
  }
}
