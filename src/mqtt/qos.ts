// Quality of Service (section 4.3).

export type QoS = 0 | 1 | 2
