"""Small recipes of our own writing, as training programs' scripts, TOML, YAML and JSON write them."""

LLAMA = """#!/bin/bash
#SBATCH --nodes=4
GPUS=8
NODES=4   # not the batch
GLOBAL=$(($GPUS * NODES * 4))
SEQ=2048
MODEL_ARGS=(
    --num-layers 16            # depth
    --hidden-size 1024
    --num-attention-heads 16
    --group-query-attention --num-query-groups 4
    --seq-length ${SEQ} --max-position-embeddings $SEQ
    --swiglu --normalization RMSNorm --disable-bias-linear
    --position-embedding-type rope --rotary-base 500000
    --untie-embeddings-and-output-weights
    --attention-dropout 0 --hidden-dropout 0.0
    --vocab-file data/gpt2-vocab.json
)
TRAINING_ARGS=" \\
    --lr 3e-4 --min-lr 3e-5 --lr-decay-style cosine \\
    --train-iters 1000 --lr-warmup-iters 50 \\
    --global-batch-size $GLOBAL --weight-decay 0.1 --adam-beta2 0.95 \\
    --bf16 --save-interval 400 --data-path corpus_text_document --split 98,2,0 "
cat <<EOT > ds.json
{"lr": 1}
EOT
torchrun --nproc_per_node $GPUS pretrain_gpt.py \\
    ${MODEL_ARGS[@]} \\
    $TRAINING_ARGS --log-interval 10
"""
TITAN = """[model]
name = "llama3"
flavor = "8B"
[optimizer]
name = "AdamW"
lr = 3e-4
[lr_scheduler]
warmup_steps = 200
decay_type = "cosine"
min_lr_factor = 0.1
[training]
global_batch_size = 64
seq_len = 8192
steps = 1000
dataset = "c4"
[checkpoint]
enable = true
interval = 500
"""
OLMO_CORE = """
from olmo_core.nn.transformer import TransformerConfig
raise SystemExit("this module is read, and never run")

SEQUENCE_LENGTH = 4096
GLOBAL_BATCH_SIZE = 512 * SEQUENCE_LENGTH
LR = 3e-4


def build_config(opts, overrides):
    sequence_length = opts.sequence_length or SEQUENCE_LENGTH
    tokenizer = TokenizerConfig.dolma2()
    model = TransformerConfig.olmo2_7B(vocab_size=tokenizer.padded_vocab_size())
    loader = NumpyDataLoaderConfig(global_batch_size=GLOBAL_BATCH_SIZE, seed=34521)
    train = TransformerTrainModuleConfig(
        max_sequence_length=sequence_length,
        optim=AdamWConfig(
            lr=LR,
            weight_decay=0.1,
            betas=(0.9, 0.95),
            group_overrides=[
                OptimGroupOverride(params=["embeddings.weight"], opts=dict(weight_decay=0.0))
            ],
        ),
        scheduler=CosWithWarmup(warmup_steps=2000),
        dp_config=TransformerDataParallelConfig(param_dtype=DType.bfloat16),
        z_loss_multiplier=1e-5,
        max_grad_norm=1.0,
    )
    trainer = TrainerConfig(max_duration=Duration.tokens(int(1e9))).with_callback(
        "checkpointer", CheckpointerCallback(save_interval=400)
    )
    return ExperimentConfig(model=model, data_loader=loader, train_module=train, trainer=trainer)
"""
LEVANTER = """data:
  cache_dir: gs://somewhere/cache
  tokenizer: some/tokenizer
model:
  type: llama
  seq_len: 2048
  hidden_dim: 1024
  intermediate_dim: 2816
  num_layers: 16
  num_heads: 16
  num_kv_heads: 8
trainer:
  mp: p=f32,c=bfloat16
  train_batch_size: 256
  num_train_steps: 10000
  seed: 3
optimizer:
  learning_rate: 4e-4
  min_lr_ratio: 0.1
  weight_decay: 0.05
  warmup: 0.02
z_loss_weight: 5e-6
"""
DCLM = """{
 "model": "open_lm_configs/small.json", "params": 411616256, "params_no_embed": 359973888,
 "tokens": 8232325120, "warmup": 2000, "lr": 0.003, "wd": 0.033, "cd": 3e-05, "global_bs": 512, "acc": 8,
 "qk_norm": true, "z_loss": 0.0001, "grad_checkpointing": false, "fsdp_flags": ["--fsdp", "--fsdp-amp"],
 "chinchilla_multiplier": 2
}
"""
OPEN_LM = """{
 "hidden_dim": 1024, "n_layers": 24, "n_heads": 8, "seq_len": 2048, "vocab_size": 50432,
 "post_embed_norm": false, "weight_tying": false, "ffn_type": "swiglu_torch"
}
"""
OPEN_LM_PARAMS = """accum_freq: 8
beta1: 0.9
beta2: 0.95
dataset_manifest: ['s3://x/manifest.jsonl']
epochs: 5
eps: 1e-08
fsdp_pure_bf16: True
global_batch_size: 512
grad_clip_norm: None
lr: 0.003
lr_cooldown_end: 3e-05
lr_scheduler: cosine
model: small
model_norm: rms_norm
precision: amp_bfloat16
seed: 124
seq_len: 2048
target_mask_left: None
train_num_samples: 800000
warmup: 5000
wd: 0.033
"""
OPEN_LM_YAML = """lr: 3.e-4
wd: 0.1
warmup: 10
lr-cooldown-end: 3.e-5
train-num-samples: 1_000_000
epochs: 4
model: open_lm_1b
model-norm: rms_norm
"""
NANO = """# a small network
import time
out_dir = 'out'
batch_size = 12
gradient_accumulation_steps = 5 * 8
block_size = 256
n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.2
learning_rate = 1e-3
max_iters = 5000
lr_decay_iters = 5000
min_lr = 1e-4
beta1 = 0.9
beta2 = 0.99
grad_clip = 0.0
init_from = 'resume'
dtype = 'bfloat16'
wandb_run_name = 'run' + str(time.time())
"""
SCRIPTS = {
    "megatron": LLAMA, "torchtitan": TITAN, "olmo_core": OLMO_CORE, "levanter": LEVANTER, "dclm": DCLM, "open_lm_network": OPEN_LM,
    "open_lm": OPEN_LM_YAML, "open_lm_params": OPEN_LM_PARAMS, "nanogpt": NANO,
}  # fmt: skip
"""By the format's name."""
