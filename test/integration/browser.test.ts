// The WebSocket bridge: a page in a real browser and a TCP device talk through one broker and one port, over wss.
// Without Chromium it is skipped, under CI it fails.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Authority } from '../net/certificates.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import { closePeers, PeerProcess } from '../support/peers.ts'
import { closeClients, RawClient } from '../support/raw-client.ts'
import { skipped } from '../support/target.ts'

const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)
const withBrowser = chromium !== undefined || process.env.CI ? test : skipped(test, 'chromium is not installed')

test.after.each(() => {
  closeClients()
  closePeers()
})
test.after(closeBrokers)

// MQTT by hand, so that the page needs nothing but the browser: it subscribes, shows what arrives, and publishes what it
// shows.
const page = (
  url: string,
): string => `<!doctype html><meta charset="utf-8"><title>bridge</title><p id="shown"></p><script>
const utf8 = (text) => { const bytes = new TextEncoder().encode(text); return [bytes.length >> 8, bytes.length & 255, ...bytes] }
const packet = (first, ...body) => new Uint8Array([first, body.length, ...body])
const socket = new WebSocket(${JSON.stringify(url)}, ['mqtt'])
socket.binaryType = 'arraybuffer'
const publish = (topic, text) => socket.send(packet(0x30, ...utf8(topic), ...new TextEncoder().encode(text)))
socket.onopen = () => socket.send(packet(0x10, ...utf8('MQTT'), 4, 2, 0, 60, ...utf8('page')))
socket.onclose = (event) => fetch('/closed?code=' + event.code + '&clean=' + event.wasClean)
socket.onmessage = ({ data }) => {
  const bytes = new Uint8Array(data)
  if (bytes[0] === 0x20) socket.send(packet(0x82, 0, 1, ...utf8('to/page'), 0))
  if (bytes[0] === 0x90) publish('from/page', 'subscribed with ' + socket.protocol)
  if (bytes[0] !== 0x30) return
  const shown = document.getElementById('shown')
  shown.textContent = new TextDecoder().decode(bytes.subarray(4 + bytes[3]))
  publish('from/page', 'shows: ' + document.body.innerText.trim())
}
</script>`

for (const scheme of ['ws', 'wss']) {
  withBrowser(`a page in Chromium over ${scheme}:// and a device over TCP talk through one port`, async () => {
    assert.ok(chromium, 'chromium is not installed, and CI is set')
    const host = '127.0.0.1'
    const { broker, port: devices } = await listen()
    const authority = new Authority()
    const { certfile, keyfile } = authority.issue('server', '/CN=broker', ['IP:127.0.0.1'])
    const tls = scheme === 'wss' ? { certfile: [certfile], keyfile: [keyfile] } : {}
    const { port } = await broker.listen({ port: 0, protocol: 'any', ...tls })

    let closed = (_: string): void => {}
    const closing = new Promise<string>((resolve) => {
      closed = resolve
    })
    const web = createServer((request, response) => {
      if (request.url?.startsWith('/closed')) closed(request.url)
      response.setHeader('content-type', 'text/html')
      response.end(request.url === '/' ? page(`${scheme}://${host}:${port}/mqtt`) : '')
    })
    await new Promise<void>((resolve) => web.listen(0, host, resolve))

    // One port for both, where no TLS stands before it.
    const device = await RawClient.connect({ host, port: scheme === 'ws' ? port : devices }, { clientId: 'device' })
    await device.subscribe(['from/page', 0])
    const profile = mkdtempSync(join(tmpdir(), 'martlet-chromium-'))
    writeFileSync(join(profile, 'First Run'), '')
    const browser = new PeerProcess(chromium!, [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--ignore-certificate-errors',
      `--user-data-dir=${profile}`,
      '--remote-debugging-port=0',
      `http://${host}:${(web.address() as AddressInfo).port}/`,
    ])
    try {
      assert.is((await device.expectPublish()).payload.toString(), 'subscribed with mqtt')
      await device.publish({ topic: 'to/page', payload: '21.5 °C', qos: 0 })
      assert.is((await device.expectPublish()).payload.toString(), 'shows: 21.5 °C')
      await device.disconnect()
      await broker.close()
      assert.is(await closing, '/closed?code=1000&clean=true')
    } finally {
      browser.terminate()
      await browser.exit().catch(() => undefined)
      await browserGone()
      web.closeAllConnections()
      web.close()
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 })
    }
  })
}

/** The browser's helper processes end a moment after it; until then the runner would call them left over. */
async function browserGone(): Promise<void> {
  const group = groupOf('self')
  for (let tries = 0; tries < 500; tries++) {
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    if (!processes.some((pid) => groupOf(pid) === group && commandOf(pid).includes('chrom'))) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('the browser does not end')
}

/** The process group; undefined when the process has ended. */
function groupOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[2]
  } catch {
    return undefined
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

test.run()
