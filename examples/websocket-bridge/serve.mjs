// Serves the files of one folder, its own by default: `[PORT=8080] [HOST=localhost] node serve.mjs [FOLDER]`.
// Any web server can take its place.
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'

const { PORT = '8080', HOST = 'localhost' } = process.env
const folder = process.argv[2] ?? import.meta.dirname
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' }

const server = createServer((request, response) => {
  const name = request.url.replace(/\?.*/, '').slice(1) || 'index.html'
  const type = TYPES[extname(name)]
  // Names of files in the folder, so that none leads out of it.
  if (type === undefined || !readdirSync(folder).includes(name)) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(readFileSync(join(folder, name)))
})
server.listen(Number(PORT), HOST, () => console.log(`http://localhost:${server.address().port}/`))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit())
