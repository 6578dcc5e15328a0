// LoRA training with QVAC Fabric, under its runtime Bare: bare finetune.js MODEL TEXT FOLDER TOKENS
// One line of JSON for each step: seconds since the training began, and what the library tells. It does not end by
// itself after an error.
const LlmLlamacpp = require('@qvac/llm-llamacpp')
const process = require('bare-process')

async function main () {
  const [path, text, folder, tokens] = process.argv.slice(2)
  const n = Number(tokens)
  const model = new LlmLlamacpp({
    files: { model: [path] },
    config: { gpu_layers: '0', ctx_size: '512', device: 'cpu', flash_attn: 'off', threads: '2' },
    opts: { stats: true }
  })
  await model.load()
  const begin = Date.now()
  const training = await model.finetune({
    trainDatasetDir: text,
    validation: { type: 'none' },
    outputParametersDir: folder,
    checkpointSaveDir: folder + '/checkpoints',
    numberOfEpochs: 1,
    learningRate: 1e-4,
    contextLength: n,
    batchSize: n,
    microBatchSize: n,
    assistantLossOnly: false,
    loraRank: 8,
    loraAlpha: 16,
    loraModules: 'attn_q,attn_k,attn_v,attn_o,ffn_gate,ffn_up,ffn_down'
  })
  training.on('stats', stats => console.log(JSON.stringify({ seconds: (Date.now() - begin) / 1000, stats })))
  await training.await()
  Bare.exit(0)
}

main().catch(error => {
  console.log('error ' + error)
  Bare.exit(1)
})
