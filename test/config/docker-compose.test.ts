// docker-compose.yml and Dockerfile, read without Docker: Compose accepts the file, what it mounts exists and is accepted by
// `martlet --test-config`, what it publishes is what the configuration listens on, the page of the profile websocket-bridge
// may connect, and what the image is made of is there.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { type Configuration, resolveConfiguration } from '../../src/config/configuration.ts'
import { readYamlFile } from '../../src/config/yaml-file.ts'
import { repositoryRoot, skipped } from '../support/target.ts'

interface Service {
  profiles?: string[]
  build?: string
  image: string
  entrypoint?: string[]
  environment?: Record<string, string>
  ports: string[]
  volumes: string[]
  healthcheck?: { test?: string[]; disable?: boolean }
  depends_on?: string[]
}

const { services, volumes: named } = parse(readFileSync(join(repositoryRoot, 'docker-compose.yml'), 'utf8')) as {
  services: Record<string, Service>
  volumes: Record<string, unknown>
}
const CONFIGURATION = '/etc/martlet/martlet.yaml'
const hostFile = (volume: string): string => join(repositoryRoot, volume.split(':')[0]!)
const mounted = ({ volumes }: Service): string | undefined =>
  volumes.filter((volume) => volume.split(':')[1] === CONFIGURATION).map(hostFile)[0]
const configurationOf = (service: Service): Configuration => resolveConfiguration([readYamlFile(mounted(service)!)])
/** [address, published, inside]. */
const ports = ({ ports }: Service): string[][] => ports.map((port) => port.split(':'))

for (const [name, service] of Object.entries(services)) {
  test(`${name}: what is mounted exists, read-only; the port is published to this machine only`, () => {
    for (const volume of service.volumes) {
      if (volume.split(':')[0]! in named) continue
      assert.ok(existsSync(hostFile(volume)), volume)
      assert.is(volume.split(':')[2], 'ro', volume)
    }
    for (const [address] of ports(service)) assert.is(address, '127.0.0.1')
    assert.equal([service.image, service.build], ['martlet', '.'])
  })

  const file = mounted(service)
  if (file === undefined) continue
  test(`${name}: its configuration is accepted, and listens on what is published`, () => {
    const checked = spawnSync(process.execPath, ['bin/martlet.js', '--test-config', '--config', file], {
      cwd: repositoryRoot,
      encoding: 'utf8',
    })
    assert.equal([checked.status, checked.stderr], [0, ''])
    const listened = configurationOf(service).listeners.map(({ port }) => `${port}`)
    assert.equal(
      ports(service).map(([, , inside]) => inside),
      listened,
    )
    const pinged = service.healthcheck?.test?.at(-1) ?? '1883'
    assert.is(pinged, listened[0])
  })
}

/** Compose itself, which needs no Docker for this; whichever of the two there is. */
const compose = [['docker-compose'], ['docker', 'compose']].find(
  ([command, ...words]) => spawnSync(command!, [...words, 'version']).status === 0,
)
const withCompose = compose === undefined && !process.env.CI ? skipped(test, 'docker-compose is not installed') : test

withCompose('Compose accepts the file, alone and with the profile', () => {
  assert.ok(compose, 'docker-compose is not installed, and CI is set')
  const [command, ...words] = compose!
  const run = (...more: string[]): string => {
    const { status, stdout, stderr } = spawnSync(command!, [...words, ...more], {
      cwd: repositoryRoot,
      encoding: 'utf8',
    })
    assert.equal([status, stderr], [0, ''])
    return stdout
  }
  run('config', '--quiet')
  run('--profile', 'websocket-bridge', 'config', '--quiet')
  const known = run('--profile', 'websocket-bridge', 'config', '--services').trim().split('\n').sort()
  assert.equal(known, Object.keys(services).sort())
})

test('the Dockerfile copies what is there, or what was made in the stage before; ports and entry point are the broker’s', () => {
  const lines = readFileSync(join(repositoryRoot, 'Dockerfile'), 'utf8').split('\n')
  const copied = lines.filter((line) => line.startsWith('COPY ')).map((line) => line.split(' ').slice(1, -1))
  assert.ok(copied.length > 5)
  for (const words of copied) {
    const made = words[0] === '--from=build'
    for (const source of made ? words.slice(1) : words) {
      const path = made ? source.replace(/^\/martlet\//, '') : source
      // `dist` and `prebuilds` are what its own RUN makes: scripts/build.js and scripts/prebuild.js.
      assert.ok(existsSync(join(repositoryRoot, path)) || /^(?:prebuilds|dist\/)/.test(path), path)
    }
  }
  for (const script of lines.join(' ').match(/scripts\/\w+\.js/g) ?? [])
    assert.ok(existsSync(join(repositoryRoot, script)))
  const value = (name: string): string => lines.find((line) => line.startsWith(`${name} `))!.slice(name.length + 1)
  assert.is(value('EXPOSE'), '1883')
  assert.equal(JSON.parse(value('ENTRYPOINT')), ['node', '/martlet/bin/martlet.js'])
  assert.equal(JSON.parse(value('CMD')), ['--config', CONFIGURATION])
})

test('the default is one broker; the profile websocket-bridge adds the bridge and its page', () => {
  const names = (profile?: string): string[] =>
    Object.keys(services).filter((name) => services[name]!.profiles?.[0] === profile)
  assert.equal(names(), ['martlet'])
  assert.equal(names('websocket-bridge'), ['websocket-bridge', 'websocket-bridge-page'])
  const published = Object.values(services).flatMap((service) => ports(service).map(([, port]) => port))
  assert.is(new Set(published).size, published.length, 'both can run at one time')
})

test('the page of the profile is one that the bridge lets in, at the path and port it connects to', () => {
  const page = services['websocket-bridge-page']!
  const bridge = services['websocket-bridge']!
  const [listener] = configurationOf(bridge).listeners
  const [[, publishedPage, insidePage]] = ports(page) as [string[]]
  assert.equal(listener!.websocketsOrigin, [`http://localhost:${publishedPage}`])
  assert.is(page.environment?.PORT, insidePage)
  assert.is(listener!.protocol, 'any')
  const script = readFileSync(join(hostFile(page.volumes[0]!), 'page.js'), 'utf8')
  const [[, publishedBridge]] = ports(bridge) as [string[]]
  assert.ok(script.includes(`:${publishedBridge}${listener!.websocketsPath}`))
  const [, folder] = page.volumes[0]!.split(':')
  const served = page.entrypoint!.at(-1)!
  assert.ok(served.startsWith(`${folder}/`) && existsSync(served.replace(folder!, hostFile(page.volumes[0]!))))
  assert.equal(page.depends_on, ['websocket-bridge'])
})

test('the service keeps its data in /var/lib/martlet, which is a volume, and an acknowledgement means fsync', () => {
  const { martlet } = services
  const { persistence, persistenceLocation, durability } = configurationOf(martlet!)
  assert.equal([persistence, persistenceLocation, durability], [true, '/var/lib/martlet', 'fsync'])
  assert.ok(martlet!.volumes.some((volume) => volume.endsWith(`:${persistenceLocation}`)))
  assert.match(
    readFileSync(join(repositoryRoot, 'Dockerfile'), 'utf8'),
    new RegExp(`^VOLUME ${persistenceLocation}$`, 'm'),
  )
})

test.run()
