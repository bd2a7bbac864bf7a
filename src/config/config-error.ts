// The operator's failure: a setting that cannot be used. Names the place, the key, the value and what would be right,
// so that the one line it prints is enough to repair the configuration. The command ends with exit code 3.

/** Where a value was written. `file` may also be a label such as `environment` or `arguments`, then without a line. */
export interface Place {
  readonly file: string
  readonly line?: number | undefined
}

export interface ConfigErrorFields {
  readonly place?: Place | undefined
  readonly key?: string | undefined
  readonly value?: unknown
  /** What is wrong, a whole clause: `unknown setting`, `an integer from 0 to 65535 is wanted`. */
  readonly problem: string
  /** What to do about it, a whole sentence. */
  readonly advice?: string | undefined
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly file: string | undefined
  readonly line: number | undefined
  readonly key: string | undefined
  readonly value: unknown
  readonly problem: string
  readonly advice: string | undefined
  /** The exit code of the command, Mosquitto's too (MOSQ_ERR_INVAL). */
  readonly exitCode = 3

  constructor(fields: ConfigErrorFields) {
    super(sentence(fields))
    this.file = fields.place?.file
    this.line = fields.place?.line
    this.key = fields.key
    this.value = fields.value
    this.problem = fields.problem
    this.advice = fields.advice
  }

  /** The same complaint with the place it is about, for whoever knows it; one that has a place keeps it. */
  at(place: Place | undefined): ConfigError {
    if (this.file !== undefined || place === undefined) return this
    const { key, value, problem, advice } = this
    return new ConfigError({ place, key, value, problem, advice })
  }

  /** The same complaint about the same setting by the name it has where it was written: `MARTLET_…`, camelCase. */
  as(key: string): ConfigError {
    const { file, line, value, problem, advice } = this
    return new ConfigError({ place: file === undefined ? undefined : { file, line }, key, value, problem, advice })
  }

  /** Mosquitto's last line, for scripts that look for it; undefined where no file is to blame. */
  get foundAt(): string | undefined {
    return this.file !== undefined && this.line !== undefined ? `Error found at ${this.file}:${this.line}.` : undefined
  }
}

function sentence({ place, key, value, problem, advice }: ConfigErrorFields): string {
  const subject = key === undefined ? '' : value === undefined ? `${key}: ` : `${key} = ${shown(value)}: `
  const where =
    place === undefined ? '' : place.line === undefined ? `${place.file}: ` : `${place.file}:${place.line}: `
  return `${where}${subject}${problem}.${advice === undefined ? '' : ` ${advice}`}`
}

/** A value as the operator may have written it, cut to a length that fits a line. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
  return text === undefined ? String(value) : text.length > 120 ? `${text.slice(0, 117)}…` : text
}
