// Under which key a peer's address is counted: an IPv4 address by itself, an IPv6 address by its first 64 bits, because
// that is what one customer gets, and counting single addresses would count nothing.

/** The key for `127.0.0.1:1234` or `[2001:db8::1]:1234`; any other text (a Unix socket) is its own key. */
export function addressKey(remoteAddress: string): string {
  if (remoteAddress.startsWith('[')) return networkOf(remoteAddress.slice(1, remoteAddress.indexOf(']')))
  const colon = remoteAddress.lastIndexOf(':')
  return colon < 0 ? remoteAddress : remoteAddress.slice(0, colon)
}

/** `2001:db8:1:2::/64`. An IPv4 address mapped into IPv6 stays what it is. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1]!
  const [before = '', after] = address.split('%')[0]!.split('::')
  const head = groups(before)
  const tail = after === undefined ? [] : groups(after)
  const zeros = after === undefined ? 0 : Math.max(0, 8 - head.length - tail.length)
  const all = [...head, ...Array<string>(zeros).fill('0'), ...tail]
  return `${all.slice(0, 4).join(':')}::/64`
}

function groups(text: string): string[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16).toString(16))
}
