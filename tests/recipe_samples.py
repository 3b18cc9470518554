"""Small settings files of our own writing, one a format, as the programs' own files are."""

AXOLOTL = """base_model: someone/network-7b
datasets:
  - path: someone/text
    type: alpaca
sequence_len: 2048
sample_packing: true
adapter: lora
lora_r: 8
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
weight_decay: 0.01
bf16: auto
warmup_ratio: 0.1
"""
OPEN_INSTRUCT = """model_name_or_path: someone/network-7b
use_slow_tokenizer: true
with_tracking: true
dataset_mixer:
  someone/mixture: 1.0
per_device_train_batch_size: 1
gradient_accumulation_steps: 2
learning_rate: 5.0e-06
max_seq_length: 4096
lr_scheduler_type: linear
warmup_ratio: 0.03
num_train_epochs: 2
checkpointing_steps: epoch
"""
TRL = """model_name_or_path: someone/network-7b
dataset_mixer:
  someone/preferences: 1.0
beta: 0.1
bf16: true
gradient_accumulation_steps: 2
learning_rate: 5.0e-7
lr_scheduler_type: cosine
max_length: 1024
num_train_epochs: 1
per_device_train_batch_size: 8
warmup_ratio: 0.1
"""
NANOTRON = """general:
  project: small
  seed: 8
checkpoints:
  checkpoint_interval: 500
  checkpoints_path: out
data_stages:
- name: only
  start_training_step: 1
  data:
    seed: 42
    dataset:
      dataset_folder:
      - tokens/a
      - tokens/b
      dataset_weights: [0.5, 0.5]
model:
  dtype: bfloat16
  init_method:
    std: 0.02
  make_vocab_size_divisible_by: 1
  model_config:
    hidden_act: silu
    hidden_size: 64
    intermediate_size: 128
    is_llama_config: true
    max_position_embeddings: 256
    num_attention_heads: 4
    num_hidden_layers: 8
    num_key_value_heads: 2
    rms_norm_eps: 1.0e-05
    rope_theta: 10000.0
    tie_word_embeddings: true
    vocab_size: 1001
optimizer:
  clip_grad: 1.0
  learning_rate_scheduler:
    learning_rate: 0.003
    lr_decay_style: cosine
    lr_decay_steps: 900
    lr_warmup_steps: 100
    lr_warmup_style: linear
    min_decay_lr: 0.0003
  optimizer_factory:
    adam_beta1: 0.9
    adam_beta2: 0.95
    adam_eps: 1.0e-08
    name: adamW
  weight_decay: 0.1
  accumulate_grad_in_fp32: true
parallelism:
  dp: 4
  tp: 2
tokens:
  batch_accumulation_per_replica: 2
  micro_batch_size: 8
  sequence_length: 256
  train_steps: 1000
"""
LLM_FOUNDRY = """variables:
  global_seed: 17
  length: 2048
max_seq_len: ${variables.length}
model:
  name: mpt_causal_lm
  d_model: 768
  n_heads: 12
  n_layers: 12
  expansion_ratio: 4
  max_seq_len: ${max_seq_len}
  vocab_size: 50368
  no_bias: true
  attn_config:
    alibi: true
train_loader:
  name: text
  dataset:
    shuffle_seed: ${variables.global_seed}
scheduler:
  name: cosine_with_warmup
  t_warmup: 100ba
  alpha_f: 0.1
optimizer:
  name: decoupled_adamw
  lr: 6.0e-4
  betas: [0.9, 0.95]
  eps: 1.0e-08
  weight_decay: 6.0e-5
algorithms:
  gradient_clipping:
    clipping_type: norm
    clipping_threshold: 1.0
max_duration: 4800ba
global_train_batch_size: 256
seed: ${variables.global_seed}
precision: amp_bf16
"""
LITGPT = """model_name: small-1b
out_dir: out
precision: bf16-mixed
data: Text
train:
  global_batch_size: 512
  micro_batch_size: 4
  lr_warmup_steps: 2000
  max_tokens: 3000000000000
  max_seq_length: 2048
  max_norm: 1.0
  min_lr: 4.0e-05
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.0004
    weight_decay: 0.1
    betas: [0.9, 0.95]
devices: auto
seed: 42
"""
DEEPSPEED = """{
  "train_batch_size": 64,
  "train_micro_batch_size_per_gpu": "auto",
  "gradient_clipping": 1.0,
  "zero_optimization": {"stage": 2},
  "fp16": {"enabled": true, "initial_scale_power": 12},
  "optimizer": {"type": "Adam", "params": {"lr": 0.0003, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": "auto"}},
  "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": 10, "warmup_min_lr": 0, "total_num_steps": 100, "warmup_type": "linear"}}
}
"""
TINYLLAMA = """model_name = "tiny_LLaMA_1b"
name = "tinyllama_1b"
num_of_devices = 8
global_batch_size = 512
learning_rate = 4e-4
micro_batch_size = 8
max_step = 1000 * 2
warmup_steps = 20
save_step_interval = 500
weight_decay = 1e-1
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0
decay_lr = True
min_lr = 4e-5
batch_size = global_batch_size // num_of_devices


def main():
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(beta1, beta2))
"""
FURTHER = {
    "axolotl": AXOLOTL,
    "open_instruct": OPEN_INSTRUCT,
    "trl": TRL,
    "nanotron": NANOTRON,
    "llm_foundry": LLM_FOUNDRY,
    "litgpt": LITGPT,
    "deepspeed": DEEPSPEED,
    "tinyllama": TINYLLAMA,
}
