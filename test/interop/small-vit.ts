/** Names and shapes of a small ViT with timm's names, as a file holds it. */
import * as write from "./torch-writer.ts";

/** Width 16, two blocks, 4 × 4 patches of 4 pixels unless said otherwise. */
export function vitShapes({ width = 16 } = {}): Record<string, number[]> {
  const block = (i: number) => ({
    [`blocks.${i}.norm1.weight`]: [width],
    [`blocks.${i}.norm1.bias`]: [width],
    [`blocks.${i}.attn.qkv.weight`]: [3 * width, width],
    [`blocks.${i}.attn.qkv.bias`]: [3 * width],
    [`blocks.${i}.attn.proj.weight`]: [width, width],
    [`blocks.${i}.attn.proj.bias`]: [width],
    [`blocks.${i}.norm2.weight`]: [width],
    [`blocks.${i}.norm2.bias`]: [width],
    [`blocks.${i}.mlp.fc1.weight`]: [4 * width, width],
    [`blocks.${i}.mlp.fc1.bias`]: [4 * width],
    [`blocks.${i}.mlp.fc2.weight`]: [width, 4 * width],
    [`blocks.${i}.mlp.fc2.bias`]: [width],
  });
  return {
    cls_token: [1, 1, width],
    pos_embed: [1, 17, width],
    "patch_embed.proj.weight": [width, 3, 4, 4],
    "patch_embed.proj.bias": [width],
    ...block(0),
    ...block(1),
    "norm.weight": [width],
    "norm.bias": [width],
  };
}

/** The same as tensors of torch.save that all begin at the first of the 4096 elements of storage 0. */
export function stateDict(prefix = ""): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(vitShapes()).map(([name, shape]) => [prefix + name, write.tensor(write.storage("0", 4096), shape)]),
  );
}
