// The page: shows what devices publish under to/page/#, publishes what is typed. `?broker=wss://host:port/mqtt` names
// another broker than the one on port 9001 of the machine this page came from.
import { connect } from './mqtt.js'

const MOST_MESSAGES = 100
const query = new URLSearchParams(location.search)
const url = query.get('broker') ?? `ws://${location.hostname}:9001/mqtt`
const state = document.getElementById('state')
const messages = document.getElementById('messages')
const form = document.forms[0]

const client = connect(url, {
  onConnected() {
    state.textContent = `connected to ${url}`
    client.subscribe('to/page/#')
  },
  onMessage(topic, payload) {
    const line = document.createElement('li')
    line.textContent = `${topic}: ${new TextDecoder().decode(payload)}` // never as HTML: anybody may have published it
    messages.append(line)
    if (messages.children.length > MOST_MESSAGES) messages.firstChild.remove()
  },
  onClosed(why) {
    state.textContent = `not connected: ${why}`
  },
})

form.addEventListener('submit', (event) => {
  event.preventDefault()
  client.publish(form.topic.value, form.text.value)
})
