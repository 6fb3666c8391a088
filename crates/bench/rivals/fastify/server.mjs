// What a studio would write today: Fastify, the raw body's HMAC, amqplib's confirm channel. One process, as Node runs.
import { createHmac, timingSafeEqual } from 'node:crypto'
import amqp from 'amqplib'
import Fastify from 'fastify'

const given = process.env
const connection = await amqp.connect(given.BENCH_AMQP)
const channel = await connection.createConfirmChannel()
const header = given.BENCH_HEADER.toLowerCase()

const app = Fastify({ bodyLimit: 256 * 1024 })
// The bytes as they came: the signature covers those.
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body))

app.post(given.BENCH_PATH, (request, reply) => {
  const sent = request.headers[header] ?? ''
  const wanted = given.BENCH_PREFIX + createHmac('sha256', given.BENCH_SECRET).update(request.body).digest('hex')
  if (sent.length !== wanted.length || !timingSafeEqual(Buffer.from(sent), Buffer.from(wanted))) {
    return reply.code(401).send()
  }
  try {
    JSON.parse(request.body.toString())
  } catch {
    return reply.code(422).send()
  }
  channel.publish(given.BENCH_EXCHANGE, given.BENCH_ROUTING_KEY, request.body, { persistent: true }, (error) =>
    error ? reply.code(503).send() : reply.code(200).send()
  )
  // It is answered when the broker has confirmed.
  return reply
})
app.get('/healthz', (request, reply) => reply.code(200).send())

await app.listen({ host: '127.0.0.1', port: Number(given.BENCH_PORT) })
process.on('SIGTERM', () => process.exit(0))
