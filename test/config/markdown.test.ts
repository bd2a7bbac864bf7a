import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configurationMarkdown } from '../../src/config/markdown.ts'
import { settings } from '../../src/config/schema.ts'

const FILE = join(resolve(import.meta.dirname, '..', '..', '..'), 'docs', 'configuration.md')

test('docs/configuration.md is what the table of settings says (else: npm run docs)', () => {
  assert.is(readFileSync(FILE, 'utf8'), configurationMarkdown())
})

test('every setting has its section', () => {
  const text = configurationMarkdown()
  for (const key of Object.keys(settings)) assert.ok(text.includes(`\n### ${key}\n`), key)
})

test.run()
