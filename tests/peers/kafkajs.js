// Sends N records per codec with kafkajs, idempotent and not.
//
// Usage: kafkajs.js HOST:PORT N. kafkajs brings gzip only; its other codecs are packages of others.
// Topics are kafkajs-<codec>[-idempotent]; record i is "record i of <topic>" with the header n=i and, for
// even i, a key.

const { CompressionTypes, Kafka, Partitioners, logLevel } = require('kafkajs')

const [bootstrap, count] = [process.argv[2], Number(process.argv[3])]

async function main() {
  for (const [codec, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
    for (const idempotent of [false, true]) {
      const topic = `kafkajs-${codec}` + (idempotent ? '-idempotent' : '')
      const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.ERROR })
      const createPartitioner = Partitioners.DefaultPartitioner
      const producer = kafka.producer({ idempotent, createPartitioner, maxInFlightRequests: 1 })
      await producer.connect()
      for (let first = 0; first < count; first += 100) {
        const messages = []
        for (let i = first; i < Math.min(first + 100, count); i++) {
          const key = i % 2 === 0 ? `key ${i}` : null
          messages.push({ key, value: `record ${i} of ${topic}`, headers: { n: String(i) } })
        }
        await producer.send({ topic, compression, acks: -1, messages })
      }
      await producer.disconnect()
      console.log(topic)
    }
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
