// The door through which `martlet conformance` comes in; it loads this file only when it is asked for.

export { main } from './main.ts'
