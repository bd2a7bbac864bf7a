#!/usr/bin/env node
// The `martlet` command; everything is in src/cli/.
//
// V8's young generation is kept at its first size, 1 MiB a semi-space, on purpose. The QoS 0 and QoS 1 paths of sessions that
// end with their connection allocate nothing, so they cost the same with any size; left to grow it takes 25 MB that idle
// connections do not need, and what a connection costs could not even be measured (2.0 KB each instead of 0.7, as the slope
// between 5,000 and 15,000). The price: messages kept for persistent sessions, measured at 10 pairs of QoS 1, 0.77 µs
// of CPU each instead of 0.66. An embedding program keeps V8's own choice. (Of V8's flags for this only this one still
// acts at run time.)

import v8 from 'node:v8'

v8.setFlagsFromString('--semi-space-growth-factor=1')

const { main } = await import('../dist/src/cli/main.js')

await main(process.argv.slice(2))
