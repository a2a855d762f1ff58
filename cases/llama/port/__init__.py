"""Llama in Flax: ordinary `nnx` modules that need jax, flax and numpy, and nothing else."""

from .attention import Attention as Attention
from .block import DecoderLayer as DecoderLayer
from .cache import Cache as Cache
from .config import LlamaConfig as LlamaConfig
from .config import RopeConfig as RopeConfig
from .config import UnsupportedConfig as UnsupportedConfig
from .embedding import Embedding as Embedding
from .generate import Generated as Generated
from .generate import generate as generate
from .generation_config import GenerationConfig as GenerationConfig
from .generation_config import UnsupportedGeneration as UnsupportedGeneration
from .heads import LlamaForCausalLM as LlamaForCausalLM
from .linear import Linear as Linear
from .loss import causal_lm_loss as causal_lm_loss
from .mlp import MLP as MLP
from .model import LlamaModel as LlamaModel
from .outputs import CausalLMOutput as CausalLMOutput
from .outputs import ModelOutput as ModelOutput
from .rmsnorm import RMSNorm as RMSNorm
from .rotary import RotaryEmbedding as RotaryEmbedding
from .rotary import apply_rotary_pos_emb as apply_rotary_pos_emb
from .rotary import rotate_half as rotate_half
