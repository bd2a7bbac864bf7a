// The files behind a TLS listener: chains of certificates, encrypted keys, folders of authorities, and a renewal told by a
// real SIGHUP to a real process. Clients are openssl s_client and Node.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { connect as connectTls } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteClient, closeByteClients } from '../net/byte-client.ts'
import { Authority, openssl } from '../net/certificates.ts'
import { type BrokerUnderTest, startBroker } from '../support/broker-process.ts'
import { closeBrokers, listen } from '../support/embedded.ts'
import * as packets from '../support/packets.ts'
import { closePeers, PeerProcess } from '../support/peers.ts'

const host = '127.0.0.1'
const root = new Authority('Root')
const middle = new Authority('Middle', root)
const low = new Authority('Low', middle)
const ca = root.text(root.certificate)
const simple = root.issue('simple', '/CN=simple', ['DNS:localhost'])
const other = root.issue('other', '/CN=other', ['DNS:localhost'])
const { broker } = await listen()
const processes: BrokerUnderTest[] = []

test.after.each(async () => {
  closeByteClients()
  closePeers()
  for (const one of processes.splice(0)) await one.stopCleanly()
})
test.after(closeBrokers)

const connack = Buffer.from([0x20, 2, 0, 0])
let count = 0
/** A new file with these texts one behind the other. */
function joined(...files: string[]): string {
  const file = root.path(`joined-${++count}.pem`)
  writeFileSync(file, files.map((one) => readFileSync(one, 'utf8')).join(''))
  return file
}

/** Connects as a client that trusts the root alone; the common name it sees, after a CONNECT that was accepted. */
async function serverName(port: number, secrets: object = {}): Promise<string> {
  const client = await ByteClient.dial({ host, port }, { ca, servername: 'localhost', ...secrets })
  client.send(packets.connect({ clientId: `c${++count}` }))
  assert.equal(await client.take(4), connack)
  const { subject } = (client.socket as ReturnType<typeof connectTls>).getPeerCertificate()
  client.destroy()
  return String(subject.CN)
}
const problem = (options: object): Promise<string> =>
  broker.listen({ port: 0, ...options }).then(
    () => 'none',
    (error: Error) => `${error.name}: ${error.message}`,
  )

test('a chain of two intermediate certificates satisfies a client that has the root alone', async () => {
  const leaf = low.issue('leaf', '/CN=leaf', ['DNS:localhost'])
  const chain = joined(leaf.certfile, low.certificate, middle.certificate)
  const { port } = await broker.listen({ port: 0, certfile: [chain], keyfile: [leaf.keyfile] })
  assert.is(await serverName(port), 'leaf')
  const peer = new PeerProcess('openssl', [
    's_client',
    ...[
      '-connect',
      `${host}:${port}`,
      '-CAfile',
      root.certificate,
      '-verify_return_error',
      '-verify_hostname',
      'localhost',
    ],
  ])
  peer.endInput()
  assert.is(await peer.exit(), 0)
  assert.match(peer.lines.join('\n'), /Verify return code: 0 \(ok\)/)

  const incomplete = await broker.listen({ port: 0, certfile: [leaf.certfile], keyfile: [leaf.keyfile] })
  const error = await serverName(incomplete.port).catch((e: NodeJS.ErrnoException) => e)
  assert.is((error as NodeJS.ErrnoException).code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

test('each certificate of a listener has its own chain', async () => {
  const leaf = low.issue('leaf-2', '/CN=leaf-2', ['DNS:chained.example'])
  const chain = joined(leaf.certfile, low.certificate, middle.certificate)
  const pairs = { certfile: [simple.certfile, chain], keyfile: [simple.keyfile, leaf.keyfile] }
  const { port } = await broker.listen({ port: 0, ...pairs })
  assert.is(await serverName(port, { servername: 'chained.example' }), 'leaf-2')
  assert.is(await serverName(port), 'simple')
})

test('a client’s chain is verified by a broker that has the root alone', async () => {
  const device = low.issue('device', '/CN=device')
  const secrets = { key: root.text(device.keyfile) }
  const pair = { certfile: [simple.certfile], keyfile: [simple.keyfile], cafile: root.certificate }
  const { port } = await broker.listen({ port: 0, ...pair, requireCertificate: true })
  const chain = joined(device.certfile, low.certificate, middle.certificate)
  assert.is(await serverName(port, { ...secrets, cert: root.text(chain) }), 'simple')
  assert.instance(await serverName(port, { ...secrets, cert: root.text(device.certfile) }).catch((e) => e), Error)
})

const encrypted = root.path('encrypted.key') // PKCS #8
openssl('pkcs8', '-topk8', '-in', simple.keyfile, '-out', encrypted, '-passout', 'pass:open sesame')
const traditional = root.path('traditional.key')
openssl('ec', '-in', simple.keyfile, '-out', traditional, '-aes256', '-passout', 'pass:open sesame')
const secret = root.path('passphrase')
writeFileSync(secret, 'open sesame\nwhat follows is not read\n')

for (const [kind, key] of [
  ['PKCS #8', encrypted],
  ['traditional', traditional],
] as const) {
  test(`an encrypted key (${kind}) is opened by a passphrase from a file or from the environment`, async () => {
    const pair = { certfile: [simple.certfile], keyfile: [key] }
    assert.is(await serverName((await broker.listen({ port: 0, ...pair, keyPassphraseFile: secret })).port), 'simple')
    process.env.TEST_KEY_PASSPHRASE = 'open sesame'
    const keyPassphraseVariable = 'TEST_KEY_PASSPHRASE'
    assert.is(await serverName((await broker.listen({ port: 0, ...pair, keyPassphraseVariable })).port), 'simple')
    const mixed = { certfile: [simple.certfile, other.certfile], keyfile: [key, other.keyfile] }
    assert.is(await serverName((await broker.listen({ port: 0, ...mixed, keyPassphraseVariable })).port), 'simple')
  })

  test(`an encrypted key (${kind}) without the right passphrase is an error that says so, and asks nobody`, async () => {
    const pair = { certfile: [simple.certfile], keyfile: [key] }
    assert.match(
      await problem(pair),
      /^ConfigError: TLS = '.*simple\.pem': the private key is encrypted, and there is no passphrase for it\. key_passphrase_file or key_passphrase_variable says/,
    )
    process.env.TEST_KEY_PASSPHRASE = 'wrong'
    const keyPassphraseVariable = 'TEST_KEY_PASSPHRASE'
    assert.match(await problem({ ...pair, keyPassphraseVariable }), /the passphrase does not open the private key\.$/)
    delete process.env.TEST_KEY_PASSPHRASE
    assert.match(await problem({ ...pair, keyPassphraseVariable }), /the environment has no such variable/)
    assert.match(
      await problem({ ...pair, keyPassphraseFile: '/no/such' }),
      /key_passphrase_file = '\/no\/such': it cannot/,
    )
    const both = { keyPassphraseFile: secret, keyPassphraseVariable }
    assert.match(await problem({ ...pair, ...both }), /one of them is wanted/)
    const blank = root.path('blank')
    writeFileSync(blank, '\nopen sesame\n')
    assert.match(await problem({ ...pair, keyPassphraseFile: blank }), /its first line is empty/)
  })
}

test('capath: a client of any authority in the rehashed folder, and of no other file there', async () => {
  const folder = root.path('authorities')
  mkdirSync(folder)
  const second = new Authority('Second')
  const third = new Authority('Third')
  copyFileSync(root.certificate, join(folder, 'root.pem'))
  copyFileSync(second.certificate, join(folder, 'second.pem'))
  const pair = { certfile: [simple.certfile], keyfile: [simple.keyfile], requireCertificate: true }
  assert.match(
    await problem({ ...pair, capath: folder }),
    /capath = '.*authorities': no certificate there has the name/,
  )
  openssl('rehash', folder)
  copyFileSync(third.certificate, join(folder, 'third.pem'))
  const { port } = await broker.listen({ port: 0, ...pair, capath: folder })
  const own = (authority: Authority) => {
    const { certfile, keyfile } = authority.issue('dev', '/CN=dev')
    return { cert: root.text(certfile), key: root.text(keyfile) }
  }
  assert.is(await serverName(port, own(root)), 'simple')
  assert.is(await serverName(port, own(second)), 'simple')
  assert.instance(await serverName(port, own(third)).catch((error) => error), Error)
  openssl('rehash', folder)
  broker.reloadCertificates()
  assert.is(await serverName(port, own(third)), 'simple')

  const beside = await broker.listen({ port: 0, ...pair, capath: folder, cafile: root.certificate })
  assert.is(await serverName(beside.port, own(second)), 'simple')
  assert.match(await problem({ ...pair, capath: '/no/such' }), /capath = '\/no\/such': it cannot be read/)
  assert.match(await problem({ capath: folder }), /^ConfigError: capath: it makes no TLS listener/)
})

test('a file that a renewal left empty is an error that names it', async () => {
  const empty = root.path('empty.pem')
  writeFileSync(empty, '')
  assert.match(
    await problem({ certfile: [empty], keyfile: [simple.keyfile] }),
    /certfile = '.*empty\.pem': it is empty/,
  )
})

test('SIGHUP: new handshakes get the renewed certificate, live connections stay; a broken file changes nothing', async () => {
  const own = { certfile: root.path('live.pem'), keyfile: root.path('live.key') }
  const use = (one: { certfile: string; keyfile: string }): void => {
    copyFileSync(one.certfile, own.certfile)
    copyFileSync(one.keyfile, own.keyfile)
  }
  use(simple)
  const listener = { port: 0, host, certfile: [own.certfile], keyfile: [own.keyfile] }
  const text = `allow_anonymous: true\nlisteners: [${JSON.stringify(listener)}]\n`
  const process = await startBroker({ file: { name: 'martlet.yaml', text } })
  processes.push(process)
  const live = await ByteClient.dial({ host, port: process.port }, { ca, servername: 'localhost' })
  live.send(packets.connect({ clientId: 'live' }))
  assert.equal(await live.take(4), connack)
  const echo = async (): Promise<void> => {
    live.send(packets.pingreq())
    assert.equal(await live.take(2), Buffer.from([0xd0, 0]))
  }
  let reloads = 0
  const hangup = async (): Promise<void> => {
    globalThis.process.kill(process.pid, 'SIGHUP')
    reloads++
    await process.waitForLog(
      () => process.log.filter((line) => line.includes('configuration read again')).length === reloads,
    )
  }
  assert.is(await serverName(process.port), 'simple')
  use(other)
  assert.is(await serverName(process.port), 'simple', 'nothing happens before the signal')
  await hangup()
  assert.is(await serverName(process.port), 'other')
  await echo()
  writeFileSync(own.keyfile, 'no key')
  await hangup()
  assert.ok(process.log.some((line) => /private key cannot be read.* The running certificates stay\./.test(line)))
  assert.is(await serverName(process.port), 'other')
  await echo()
  use(simple)
  await hangup()
  assert.is(await serverName(process.port), 'simple')
  await echo()
})

test.run()
