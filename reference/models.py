"""The models of the parity fixtures in plain PyTorch, written from the method's description.

They are small and slow on purpose: every line is meant to be checked by eye. Parameter names are timm's, MAE's and
MoCo v3's, so the state dicts read like the published checkpoints'.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def sincos_axis(positions, size):
    """[n] positions -> [n, size]: the sines of all frequencies, then the cosines."""
    frequencies = 10000.0 ** (-np.arange(size // 2) / (size / 2))
    angles = positions[:, None] * frequencies[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sincos_table(grid, width, layout):
    """[1, 1 + grid * grid, width]; the class token's row is zero. MAE puts the column first, MoCo v3 the row."""
    row, column = (axis.reshape(-1).astype(np.float64) for axis in np.mgrid[0:grid, 0:grid])
    first, second = (column, row) if layout == "mae" else (row, column)
    table = np.concatenate([sincos_axis(first, width // 2), sincos_axis(second, width // 2)], axis=1)
    table = np.concatenate([np.zeros((1, width)), table])
    return torch.tensor(table[None], dtype=torch.get_default_dtype())


def fixed(table):
    return nn.Parameter(table, requires_grad=False)


class PatchEmbed(nn.Module):
    def __init__(self, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, images):
        return self.proj(images).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.scale = (width / heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Pre-norm ViT without a classifier; `forward` gives the class token after the final norm (and after `head`)."""

    def __init__(self, image, patch, width, depth, heads, layout="mae", head=None):
        super().__init__()
        self.patch = patch
        self.grid = image // patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = fixed(sincos_table(self.grid, width, layout))
        self.patch_embed = PatchEmbed(patch, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        if head is not None:
            self.head = head

    def tokens(self, images, keep=None, hidden=None, token=None):
        """All tokens after the final norm.

        `keep` [batch, n]: the only patches that the encoder sees, in that order. `hidden` [batch, patches] has 1 where
        `token` [1, 1, width] takes the place of the embedded patch.
        """
        x = self.patch_embed(images)
        if hidden is not None:
            x = (1 - hidden[:, :, None]) * x + hidden[:, :, None] * token
        x = x + self.pos_embed[:, 1:]
        if keep is not None:
            x = torch.gather(x, 1, keep[:, :, None].expand(-1, -1, x.shape[2]))
        start = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([start, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, images):
        feature = self.tokens(images)[:, 0]
        return self.head(feature) if hasattr(self, "head") else feature


class MaskedAutoencoder(VisionTransformer):
    def __init__(
        self, image, patch, width, depth, heads,
        decoderWidth, decoderDepth, decoderHeads, maskRatio, normPix, layout="mae"
    ):
        super().__init__(image, patch, width, depth, heads, layout=layout)
        self.mask_ratio = maskRatio
        self.norm_pix = normPix
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoderWidth))
        self.decoder_pos_embed = fixed(sincos_table(self.grid, decoderWidth, "mae"))
        self.decoder_embed = nn.Linear(width, decoderWidth)
        self.decoder_blocks = nn.ModuleList(Block(decoderWidth, decoderHeads) for _ in range(decoderDepth))
        self.decoder_norm = nn.LayerNorm(decoderWidth, eps=1e-6)
        self.decoder_pred = nn.Linear(decoderWidth, patch * patch * 3)

    def patchify(self, images):
        """[B, 3, H, W] -> [B, L, p * p * 3]; a patch is ordered row, column, channel."""
        batch, grid, patch = images.shape[0], self.grid, self.patch
        x = images.reshape(batch, 3, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(batch, grid * grid, patch * patch * 3)

    def forward(self, images, noise):
        """-> loss, prediction [B, L, p * p * 3], mask [B, L] with 1 where a patch was removed."""
        batch, count = noise.shape
        kept = math.floor(count * (1 - self.mask_ratio))
        shuffle = torch.argsort(noise, dim=1)
        restore = torch.argsort(shuffle, dim=1)

        x = self.decoder_embed(self.tokens(images, keep=shuffle[:, :kept]))
        removed = self.mask_token.expand(batch, count - kept, -1)
        patches = torch.cat([x[:, 1:], removed], dim=1)
        patches = torch.gather(patches, 1, restore[:, :, None].expand(-1, -1, patches.shape[2]))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        prediction = self.decoder_pred(self.decoder_norm(x))[:, 1:]

        target = self.patchify(images)
        if self.norm_pix:
            mean = target.mean(dim=2, keepdim=True)
            variance = target.var(dim=2, unbiased=True, keepdim=True)
            target = (target - mean) / torch.sqrt(variance + 1e-6)
        mask = (restore >= kept).to(images.dtype)
        error = ((prediction - target) ** 2).mean(dim=2)
        return (error * mask).sum() / mask.sum(), prediction, mask


class SimMIM(VisionTransformer):
    def __init__(self, image, patch, width, depth, heads, maskRatio, maskUnit):
        super().__init__(image, patch, width, depth, heads, layout="mae")
        self.mask_ratio = maskRatio
        self.mask_unit = maskUnit
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder = nn.Linear(width, 3 * patch * patch)

    def patchify(self, images):
        """[B, 3, H, W] -> [B, L, 3 * p * p]; a patch is ordered channel, row, column."""
        batch, grid, patch = images.shape[0], self.grid, self.patch
        x = images.reshape(batch, 3, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(batch, grid * grid, 3 * patch * patch)

    def mask(self, noise):
        """[B, squares] -> [B, L] with 1 in the squares of the largest noise."""
        batch, squares = noise.shape
        across = math.isqrt(squares)
        count = math.ceil(squares * self.mask_ratio)
        hidden = torch.zeros_like(noise).scatter(1, noise.topk(count, dim=1).indices, 1.0)
        hidden = hidden.reshape(batch, across, across)
        for axis in (1, 2):
            hidden = hidden.repeat_interleave(self.mask_unit, dim=axis)
        return hidden.reshape(batch, -1)

    def forward(self, images, noise):
        """-> the mean absolute error over all pixels of hidden patches."""
        mask = self.mask(noise)
        prediction = self.decoder(self.tokens(images, hidden=mask, token=self.mask_token)[:, 1:])
        error = (prediction - self.patchify(images)).abs().mean(dim=2)
        return (error * mask).sum() / mask.sum()


def perceptron(sizes):
    """Bias-free Linear + BatchNorm layers with ReLU between them; the last BatchNorm has no weight and no bias."""
    layers = []
    for index in range(len(sizes) - 1):
        last = index == len(sizes) - 2
        layers.append(nn.Linear(sizes[index], sizes[index + 1], bias=False))
        layers.append(nn.BatchNorm1d(sizes[index + 1], eps=1e-5, affine=not last))
        if not last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class MoCo(nn.Module):
    def __init__(
        self, image, patch, width, depth, heads, mlpDim, dim, temperature, momentum, freezePatchEmbed, layout="moco"
    ):
        super().__init__()

        def encoder():
            head = perceptron([width, mlpDim, mlpDim, dim])
            return VisionTransformer(image, patch, width, depth, heads, layout=layout, head=head)

        self.temperature = temperature
        self.momentum = momentum
        self.base_encoder = encoder()
        self.momentum_encoder = encoder()
        self.predictor = perceptron([dim, mlpDim, dim])
        self.momentum_encoder.requires_grad_(False)
        if freezePatchEmbed:
            self.base_encoder.patch_embed.requires_grad_(False)

    @torch.no_grad()
    def update_momentum_encoder(self):
        for slow, fast in zip(self.momentum_encoder.parameters(), self.base_encoder.parameters()):
            slow.copy_(self.momentum * slow + (1 - self.momentum) * fast)

    def contrast(self, query, key):
        query = functional.normalize(query, dim=1)
        key = functional.normalize(key, dim=1)
        logits = query @ key.T / self.temperature
        return 2 * self.temperature * functional.cross_entropy(logits, torch.arange(len(query)))

    def forward(self, view1, view2):
        """Both encoders see one view at a time, so the batch statistics are a view's own."""
        query1 = self.predictor(self.base_encoder(view1))
        query2 = self.predictor(self.base_encoder(view2))
        with torch.no_grad():
            self.update_momentum_encoder()
            key1 = self.momentum_encoder(view1)
            key2 = self.momentum_encoder(view2)
        return self.contrast(query1, key2) + self.contrast(query2, key1)


class SimCLR(nn.Module):
    def __init__(self, image, patch, width, depth, heads, mlpDim, dim, temperature):
        super().__init__()
        self.temperature = temperature
        head = perceptron([width, mlpDim, mlpDim, dim])
        self.base_encoder = VisionTransformer(image, patch, width, depth, heads, layout="moco", head=head)

    def forward(self, view1, view2):
        count = len(view1)
        both = functional.normalize(torch.cat([self.base_encoder(view1), self.base_encoder(view2)]), dim=1)
        logits = (both @ both.T / self.temperature).masked_fill(torch.eye(2 * count, dtype=torch.bool), -math.inf)
        return functional.cross_entropy(logits, torch.arange(2 * count).roll(count))


class VICReg(nn.Module):
    def __init__(self, image, patch, width, depth, heads, mlpDim, dim, invariance, variance, covariance):
        super().__init__()
        self.weights = (invariance, variance, covariance)
        expander = nn.Sequential(
            nn.Linear(width, mlpDim),
            nn.BatchNorm1d(mlpDim),
            nn.ReLU(),
            nn.Linear(mlpDim, mlpDim),
            nn.BatchNorm1d(mlpDim),
            nn.ReLU(),
            nn.Linear(mlpDim, dim, bias=False),
        )
        self.base_encoder = VisionTransformer(image, patch, width, depth, heads, layout="moco", head=expander)

    def forward(self, view1, view2):
        embeddings = [self.base_encoder(view1), self.base_encoder(view2)]
        invariance = functional.mse_loss(*embeddings)
        variance, covariance = 0, 0
        for embedding in embeddings:
            variance = variance + functional.relu(1 - torch.sqrt(embedding.var(dim=0) + 1e-4)).mean() / 2
            matrix = torch.cov(embedding.T)
            off_diagonal = matrix - torch.diag(torch.diag(matrix))
            covariance = covariance + off_diagonal.square().sum() / embedding.shape[1]
        return sum(weight * term for weight, term in zip(self.weights, (invariance, variance, covariance)))


def xavier(shape, generator, parts=1):
    """Uniform Xavier for [out, in...]; `parts` matrices stacked along out are each drawn for their own size."""
    out, into = shape[0] // parts, math.prod(shape[1:])
    bound = math.sqrt(6 / (out + into))
    return generator.uniform(-bound, bound, size=shape)


def randomise(model, generator):
    """Initial values for a fixture: MAE's or MoCo v3's for the matrices, noise where training would start at 0 or 1.

    With biases at zero and norm weights at one, a wrong gradient can hide. `generator` is a numpy RandomState, so the
    values do not depend on PyTorch's version. All values are rounded to float32, the precision they are stored in.
    """
    split_qkv = isinstance(model, (MoCo, SimCLR, VICReg))
    slow_prefix = "momentum_encoder."
    values = {}
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if name.endswith("pos_embed"):
            value = parameter.detach().double().numpy()
        elif name.startswith(slow_prefix):
            # Near the base encoder but not equal to it, so that the momentum update shows.
            fast = values["base_encoder." + name[len(slow_prefix) :]]
            value = fast + 0.05 * generator.standard_normal(shape)
        elif len(shape) == 1:
            centre = 1.0 if name.endswith("weight") else 0.0
            value = centre + 0.1 * generator.standard_normal(shape)
        elif name.endswith("token"):
            value = 0.1 * generator.standard_normal(shape)
        elif split_qkv and (".head." in name or name.startswith("predictor.")):
            bound = 1 / math.sqrt(shape[1])
            value = generator.uniform(-bound, bound, size=shape)
        else:
            value = xavier(shape, generator, parts=3 if split_qkv and ".qkv." in name else 1)
        values[name] = np.asarray(value).astype(np.float32)
    return values


@torch.no_grad()
def load(model, values):
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.from_numpy(values[name]))
    return model
