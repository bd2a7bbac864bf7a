// The WebSocket bridge, as docs/websocket-bridge.md has it: its page, its configuration and its proxy, in a real browser,
// with devices on TCP at the same port. Of what is read there only ports, paths and addresses are changed.
import { spawnSync } from 'node:child_process'
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Authority } from '../net/certificates.ts'
import { type BrokerUnderTest, freePort, startBroker } from '../support/broker-process.ts'
import { Chromium, withChromium } from '../support/chromium.ts'
import { closePeers, PeerProcess, withPeer } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { repositoryRoot, skipped, tinySizes } from '../support/target.ts'

const example = (name: string): string => join(repositoryRoot, 'examples/websocket-bridge', name)
const documentation = readFileSync(join(repositoryRoot, 'docs/websocket-bridge.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...documentation.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1]!)
const [plain, tls, proxied] = blocks('yaml')

const authority = new Authority()
const { certfile, keyfile } = authority.issue('server', '/CN=broker', ['DNS:localhost', 'IP:127.0.0.1'])
const publicKey = createPublicKey(createPrivateKey(readFileSync(keyfile))).export({ type: 'spki', format: 'der' })
const host = '127.0.0.1'

let browser: Chromium | undefined
const chromium = (): Chromium => {
  browser ??= new Chromium([createHash('sha256').update(publicKey).digest('base64')])
  return browser
}
const brokers: BrokerUnderTest[] = []

test.after.each(async () => {
  closeClients()
  closePeers()
  for (const broker of brokers.splice(0)) await broker.stopCleanly()
})
test.after(async () => await browser?.close())

const withMosquitto = withPeer(test, 'mosquitto_pub')
const withBrowser = withMosquitto === test ? withChromium(test) : withMosquitto
/** Of pages and proxies: small buffers change nothing in these. */
const onceWithBrowser = tinySizes ? skipped(test, 'it runs with the usual sizes') : withBrowser

/** Serves a folder's page with the example's own server; its origin. */
async function servePage(folder?: string): Promise<string> {
  const environment = { ...process.env, PORT: '0' }
  const server = new PeerProcess(
    process.execPath,
    [example('serve.mjs'), ...(folder === undefined ? [] : [folder])],
    environment,
  )
  const [url] = await server.waitForLines(/^http:/)
  return url!.replace(/\/$/, '')
}

/** A broker with a configuration of the documentation, for pages of this origin. */
async function bridge(configuration: string, origin: string): Promise<BrokerUnderTest> {
  const text = configuration
    .replace('port: 9001', `port: 0\n    host: ${host}`)
    .replace(/websockets_origin: \[.*\]/, `websockets_origin: [${origin}]`)
    .replaceAll('/etc/martlet/example.pem', certfile)
    .replaceAll('/etc/martlet/example.key', keyfile)
  const broker = await startBroker({ file: { name: 'martlet.yaml', text } })
  brokers.push(broker)
  return broker
}

const device = (options: readonly string[], ...words: string[]): PeerProcess =>
  new PeerProcess(words[0]!, ['-h', host, ...options, ...words.slice(1)])

/** Devices and a page exchange messages both ways; what the page shows in the end. */
async function talk(options: readonly string[], pageUrl: string): Promise<void> {
  const page = await chromium().open(pageUrl)
  await page.shows(/connected to ws/)
  const listening = device(options, 'mosquitto_sub', '-t', 'from/page', '-d', '-F', '= %t %p')
  await listening.waitForLines(/^Subscribed/)
  // Typed and clicked, as a person does.
  await page.evaluate(`document.forms[0].text.value = 'on, please: ☀'; document.querySelector('button').click()`)
  assert.equal(await listening.waitForLines(/^= /), ['= from/page on, please: ☀'])
  const speaking = device(options, 'mosquitto_pub', '-t', 'to/page/kitchen', '-m', '21.5 °C', '-q', '1')
  assert.is(await speaking.exit(), 0)
  await page.shows(/to\/page\/kitchen: 21\.5 °C/)
}

test('the configuration of the documentation is that of the example', () => {
  assert.is(plain, readFileSync(example('martlet.yaml'), 'utf8'))
})

withBrowser('a page over ws:// and devices over TCP talk through one port', async () => {
  const origin = await servePage()
  const { port } = await bridge(plain!, origin)
  await talk(['-p', `${port}`], `${origin}/?broker=ws://${host}:${port}/mqtt`)
})

withBrowser('a page over wss:// and devices over TLS talk through one port', async () => {
  const origin = await servePage()
  const { port } = await bridge(tls!, origin)
  await talk(['-p', `${port}`, '--cafile', authority.certificate], `${origin}/?broker=wss://localhost:${port}/mqtt`)
})

onceWithBrowser('a page of another origin, and one at another path, are refused, and the log says why', async () => {
  const origin = await servePage()
  const { port, ...broker } = await bridge(plain!, origin)
  const stranger = origin.replace('localhost', host)
  const page = await chromium().open(`${stranger}/?broker=ws://${host}:${port}/mqtt`)
  await page.shows(/not connected: closed \(1006\)/)
  await broker.waitForLog(/WebSocket: this Origin is not allowed here/)
  const lost = await chromium().open(`${origin}/?broker=ws://${host}:${port}/elsewhere`)
  await lost.shows(/not connected: closed \(1006\)/)
  await broker.waitForLog(/WebSocket: nothing is at this path/)
})

onceWithBrowser('a page sees the broker go with a clean close, and connects again when it is back', async () => {
  const origin = await servePage()
  const first = await bridge(plain!, origin)
  const page = await chromium().open(`${origin}/?broker=ws://${host}:${first.port}/mqtt`)
  await page.shows(/connected to ws/)
  await first.stopCleanly()
  await page.shows(/not connected: closed \(1000\)/)
  brokers.length = 0
  const text = plain!
    .replace('port: 9001', `port: ${first.port}\n    host: ${host}`)
    .replace('http://localhost:8080', origin)
  brokers.push(await startBroker({ file: { name: 'martlet.yaml', text } }))
  await page.shows(/^(?![\s\S]*not connected)[\s\S]*connected to ws/)
})

onceWithBrowser('the page with the mqtt package’s browser build', async () => {
  const folder = authority.folder
  copyFileSync(join(repositoryRoot, 'node_modules/mqtt/dist/mqtt.min.js'), join(folder, 'mqtt.min.js'))
  const origin = await servePage(folder)
  const { port } = await bridge(plain!, origin)
  const [html] = blocks('html')
  writeFileSync(join(folder, 'index.html'), html!.replace('ws://localhost:9001/mqtt', `ws://${host}:${port}/mqtt`))
  const own = await RawClient.connect({ host, port }, { clientId: 'device' })
  await own.subscribe(['from/page', 1])
  const page = await chromium().open(`${origin}/`)
  assert.is((await own.expectPublish()).payload.toString(), 'a page is here')
  await own.publish({ topic: 'to/page/hall', payload: '19 °C', qos: 1 })
  await page.shows(/^to\/page\/hall: 19 °C$/)
})

/** A reverse proxy as Debian installs it. */
function proxyTest(
  name: string,
  sentence: string,
  run: (file: string, origin: string, front: number) => Promise<void>,
): void {
  const file = [`/usr/sbin/${name}`, `/usr/local/sbin/${name}`].find((one) => spawnSync(one, ['-v']).status === 0)
  const each = file === undefined && !process.env.CI ? skipped(test, `${name} is not installed`) : onceWithBrowser
  each(sentence, async () => {
    assert.ok(file, `${name} is not installed, and CI is set`)
    await run(file!, await servePage(), await freePort())
  })
}

/** The broker behind a proxy that comes from 127.0.0.9, so that what it tells can be told apart from its own address. */
const behindProxy = (origin: string): Promise<BrokerUnderTest> =>
  bridge(proxied!.replace('trusted_proxies: [127.0.0.1', 'trusted_proxies: [127.0.0.9'), origin)

proxyTest(
  'haproxy',
  'a page over wss:// through haproxy; the log has the browser’s address, and devices come past it',
  async (haproxy, origin, front) => {
    const { port, ...broker } = await behindProxy(origin)
    const pem = authority.path('haproxy.pem')
    writeFileSync(pem, authority.text(certfile) + authority.text(keyfile))
    const file = authority.path('haproxy.cfg')
    const configuration = readFileSync(example('haproxy.cfg'), 'utf8')
      .replace(':8443 ssl crt /etc/haproxy/example.pem', `${host}:${front} ssl crt ${pem}`)
      .replace('127.0.0.1:9001', `${host}:${port}`)
      .replace('\nbackend bridge\n', '\nbackend bridge\n  source 127.0.0.9\n')
    writeFileSync(file, configuration)
    const proxy = new PeerProcess(haproxy, ['-f', file])
    while (!(await reachable(front))) await new Promise(setImmediate)
    await talk(['-p', `${port}`], `${origin}/?broker=wss://localhost:${front}/mqtt`)
    await broker.waitForLog(/client connected.*address=127\.0\.0\.1:0\b/)
    proxy.kill9()
  },
)

proxyTest(
  'nginx',
  'the page and its wss:// from one host, nginx; the log has the browser’s address, and devices come past it',
  async (nginx, _, front) => {
    const origin = `https://localhost:${front}`
    const { port, ...broker } = await behindProxy(origin)
    const block = readFileSync(example('nginx.conf'), 'utf8')
      .replace('listen 443 ssl', `listen ${host}:${front} ssl`)
      .replace('server_name dashboard.example', 'server_name localhost')
      .replace('/etc/nginx/example.pem', certfile)
      .replace('/etc/nginx/example.key', keyfile)
      .replace('/var/www/dashboard', example(''))
      .replace('http://127.0.0.1:9001;', `http://${host}:${port};\n    proxy_bind 127.0.0.9;`)
    // What the system's own nginx.conf has around such a block, in folders of this test.
    const folder = authority.folder
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (one) => `${one}_temp_path ${folder}/${one};`,
    )
    const file = authority.path('nginx.conf')
    const user = process.getuid!() === 0 ? 'user root;' : ''
    const around = `${user} daemon off; pid ${folder}/nginx.pid; error_log stderr warn; events {}`
    const http = `types { text/html html; text/javascript js; } access_log off; ${paths.join(' ')}`
    writeFileSync(file, `${around}\nhttp { ${http}\n${block}\n}\n`)
    const proxy = new PeerProcess(nginx, ['-c', file, '-e', 'stderr', '-p', folder])
    while (!(await reachable(front))) await new Promise(setImmediate)
    await talk(['-p', `${port}`], `${origin}/?broker=wss://localhost:${front}/mqtt`)
    await broker.waitForLog(/client connected.*address=127\.0\.0\.1:0\b/)
    const complaints = proxy.lines.filter((line) => !line.includes('favicon.ico'))
    assert.equal(complaints, [])
    proxy.terminate()
    assert.is(await proxy.exit(), 0)
  },
)

const reachable = (port: number): Promise<boolean> =>
  RawClient.dial({ host, port }).then(
    (client) => {
      client.destroy()
      return true
    },
    () => false,
  )

test.run()
