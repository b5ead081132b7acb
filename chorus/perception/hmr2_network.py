"""HMR2.0: a vision transformer over a person's crop and a transformer decoder with one query.

Names and shapes of the weights are those of the published checkpoints (4D-Humans, Goel et al.,
ICCV 2023): `backbone.…` is the ViT of ViTPose, `smpl_head.…` the decoder. The module follows the
published description; sizes are read from a checkpoint's shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chorus.errors import BadInput
from chorus.geometry.rotations import six_d_to_matrix
from chorus.perception.crop_regression import Prediction

OWN_PREFIXES = ("backbone.", "smpl_head.")
"""What the names of its weights begin with; the checkpoint holds a body and a discriminator too."""

_PATCH, _PADDING = 16, 2
_ROWS, _COLUMNS = 16, 12  # patches of the 256 x 192 pixels that the backbone sees
_SIDE_STRIP = 32  # columns left and right of the square crop that it does not see
_HEAD_WIDTH = 64  # of the decoder's attention
_POSE, _SHAPE, _CAMERA = 24 * 6, 10, 3


@dataclass(frozen=True)
class Layout:
    """Sizes of a network. The defaults are the published HMR2.0 (ViT-H).

    The number of attention heads does not show in the weights' shapes: the backbone has 12 heads if
    it is 384 or 768 wide (ViT-S, ViT-B) and else 16 (ViT-L, ViT-H); the decoder's heads are 64
    wide.
    """

    width: int = 1280
    depth: int = 32
    mlp: int = 5120
    decoder_width: int = 1024
    decoder_depth: int = 6
    decoder_mlp: int = 1024
    decoder_attention: int = 512
    token: int = 1
    """Numbers in the decoder's query: 1 (a zero) or 157 (the mean body)."""

    @property
    def heads(self) -> int:
        """Attention heads of the backbone."""
        return 12 if self.width in (384, 768) else 16

    @property
    def decoder_heads(self) -> int:
        """Attention heads of the decoder."""
        return self.decoder_attention // _HEAD_WIDTH


def layout_of(state: Mapping[str, Tensor]) -> Layout:
    """The sizes that a checkpoint's weights have; the published ones where a weight is missing.

    BadInput if no number of heads can belong to them.
    """

    def size(name: str, dimension: int, otherwise: int) -> int:
        shape = state[name].shape if name in state else ()
        return shape[dimension] if dimension < len(shape) else otherwise

    def depth(prefix: str, otherwise: int) -> int:
        numbers = {
            name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)
        }
        return len(numbers) or otherwise

    published, decoder = Layout(), "smpl_head.transformer."
    layers = f"{decoder}transformer.layers."
    layout = Layout(
        width=size("backbone.patch_embed.proj.weight", 0, published.width),
        depth=depth("backbone.blocks.", published.depth),
        mlp=size("backbone.blocks.0.mlp.fc1.weight", 0, published.mlp),
        decoder_width=size(f"{decoder}to_token_embedding.weight", 0, published.decoder_width),
        decoder_depth=depth(layers, published.decoder_depth),
        decoder_mlp=size(f"{layers}0.2.fn.net.0.weight", 0, published.decoder_mlp),
        decoder_attention=size(f"{layers}0.1.fn.to_q.weight", 0, published.decoder_attention),
        token=size(f"{decoder}to_token_embedding.weight", 1, published.token),
    )
    for what, width, part in (
        ("backbone", layout.width, layout.heads),
        ("decoder", layout.decoder_attention, _HEAD_WIDTH),
    ):
        if width % part:
            raise BadInput(
                f"attention of the {what} is {width} wide, which is no multiple of {part}: not a "
                "variant of HMR2.0 that is known."
            )
    if layout.token not in (1, _POSE + _SHAPE + _CAMERA):
        raise BadInput(f"the decoder's query has {layout.token} numbers; 1 or 157 are known.")
    return layout


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention of queries (B, M, D) to keys and values (B, N, D): (B, M, D)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _PatchEmbedding(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, _PATCH, stride=_PATCH, padding=_PADDING)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).mT


class _BackboneAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(_attend(*self.qkv(x).chunk(3, dim=-1), self.heads))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.norm1 = nn.LayerNorm(layout.width, eps=1e-6)
        self.attn = _BackboneAttention(layout.width, layout.heads)
        self.norm2 = nn.LayerNorm(layout.width, eps=1e-6)
        self.mlp = _Mlp(layout.width, layout.mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Backbone(nn.Module):
    """The ViT of ViTPose: 256 x 192 pixels to 192 tokens.

    The first row of the position embedding belongs to a class token that does not take part; it is
    added to every patch.
    """

    def __init__(self, layout: Layout):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _ROWS * _COLUMNS, layout.width))
        self.patch_embed = _PatchEmbedding(layout.width)
        self.blocks = nn.ModuleList(_Block(layout) for _ in range(layout.depth))
        self.last_norm = nn.LayerNorm(layout.width, eps=1e-6)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x)


class _Normed(nn.Module):
    """A part of a decoder layer behind its own normalisation."""

    def __init__(self, width: int, part: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = part

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.fn(self.norm(x), *context)


class _SelfAttention(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.heads = layout.decoder_heads
        width, inner = layout.decoder_width, layout.decoder_attention
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(_attend(*self.to_qkv(x).chunk(3, dim=-1), self.heads))


class _CrossAttention(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.heads = layout.decoder_heads
        width, inner = layout.decoder_width, layout.decoder_attention
        self.to_kv = nn.Linear(layout.width, 2 * inner, bias=False)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        k, v = self.to_kv(context).chunk(2, dim=-1)
        return self.to_out(_attend(self.to_q(x), k, v, self.heads))


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        # the published numbering counts the dropout of the training
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class _DecoderLayers(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        width = layout.decoder_width
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    _Normed(width, _SelfAttention(layout)),
                    _Normed(width, _CrossAttention(layout)),
                    _Normed(width, _FeedForward(width, layout.decoder_mlp)),
                )
            )
            for _ in range(layout.decoder_depth)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        for attention, cross_attention, feed_forward in self.layers:
            x = x + attention(x)
            x = x + cross_attention(x, context)
            x = x + feed_forward(x)
        return x


class _Decoder(nn.Module):
    def __init__(self, layout: Layout):
        super().__init__()
        self.to_token_embedding = nn.Linear(layout.token, layout.decoder_width)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1, layout.decoder_width))
        self.transformer = _DecoderLayers(layout)

    def forward(self, token: Tensor, context: Tensor) -> Tensor:
        return self.transformer(self.to_token_embedding(token) + self.pos_embedding, context)


class _Head(nn.Module):
    """One query to the mean body plus what the decoder adds to it."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.transformer = _Decoder(layout)
        self.decpose = nn.Linear(layout.decoder_width, _POSE)
        self.decshape = nn.Linear(layout.decoder_width, _SHAPE)
        self.deccam = nn.Linear(layout.decoder_width, _CAMERA)
        self.register_buffer("init_body_pose", torch.zeros(1, _POSE))
        self.register_buffer("init_betas", torch.zeros(1, _SHAPE))
        self.register_buffer("init_cam", torch.zeros(1, _CAMERA))
        self._takes_mean = layout.token > 1

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start = (self.init_body_pose, self.init_betas, self.init_cam)
        token = torch.cat(start, dim=1) if self._takes_mean else context.new_zeros(1, 1)
        features = self.transformer(token.expand(len(context), 1, -1), context)[:, 0]
        decoded = (self.decpose(features), self.decshape(features), self.deccam(features))
        return tuple(mean + change for mean, change in zip(start, decoded, strict=True))


class Hmr2Network(nn.Module):
    """Crops to body parameters."""

    def __init__(self, layout: Layout | None = None):
        super().__init__()
        layout = layout or Layout()
        self.backbone = _Backbone(layout)
        self.smpl_head = _Head(layout)

    def forward(self, crops: Float[Tensor, "B 3 256 256"]) -> Prediction:
        """Normalised square crops (B, 3, 256, 256), of which the middle 192 columns are seen.

        The six numbers of a rotation are two columns one after the other (unlike SPIN's, whose
        columns alternate). The published camera is a pinhole of focal length 5000 / 256 crops at
        the depth 2 * 5000 / (256 s), that shifts the body by (tx, ty) metres. Returned is the weak
        camera s * (X + tx, Y + ty) of what lies at the body's own depth, as (s, s tx, s ty);
        `project_long` has the pinhole again.
        """
        seen = crops[..., _SIDE_STRIP:-_SIDE_STRIP]
        pose, betas, camera = self.smpl_head(self.backbone(seen))
        columns = pose.unflatten(1, (24, 2, 3)).mT.flatten(2)
        scale, shift = camera[:, :1], camera[:, 1:]
        weak = torch.cat([scale, scale * shift], dim=1)
        return Prediction(six_d_to_matrix(columns), betas, weak)
