/**
 * An objective of one's own: DINO, self-distillation with no labels (Caron et al., "Emerging properties in self-supervised
 * vision transformers", ICCV 2021), here with two global views.
 *
 *     node dist/src/cli/main.js pretrain photos --recipe examples/custom-objective.json --out runs/dino
 *     node dist/src/cli/main.js evaluate runs/dino
 *
 * Student and teacher are the same network: a Vision Transformer, and on its class token an MLP, a bottleneck of unit length
 * and a linear layer to K outputs whose rows have unit length. The student is to say of one view what the teacher says of
 * the other: the cross entropy of two distributions over K, in both directions. The teacher learns nothing; it follows the
 * student slowly. What keeps both from saying the same of every image: the teacher's outputs are centred, so that none of
 * the K wins everywhere, and sharpened, so that they are not all alike (all of it in section 3.1 of the paper).
 *
 * What the pieces of layergraft are here for:
 * - `copies`: the teacher, all variables below `teacher.`, moves by the momentum before every step; no gradient reaches it.
 * - `schedules`: the teacher's temperature, a number fed to every step, which `loss` finds among its scalars.
 * - a buffer: the centre, state that moves without a gradient. It is a mean over the batch, so it is the business of `loss`.
 * - `coupled`: `loss` wants the whole batch at once, since the centre does. A batch in micro-batches gives the same step.
 *
 * Default numbers are the paper's (sections 3.1 and 3.2, the head in its appendix). Where we differ: two views of the image
 * and none of the small crops; the warm-up of the temperature, 30 epochs in the paper, is a share of the stage; weight decay
 * does not grow; the last layer is trained from the first step on. The recipe beside this file has fewer outputs and a small
 * model, for some thousands of images on one machine.
 *
 * A file like this is loaded by `layergraft`, so it imports `layergraft/objective`, which has what an objective is written
 * with and nothing else. What it needs besides must not await anything at its top level.
 */
import { heads, nn, type Objective, type ObjectiveKind, ops, type Value, z } from "layergraft/objective";

const schema = z.strictObject({
  kind: z.literal("dino"),
  outputs: z.int().min(2).default(65536).describe("K, over which both distributions are"),
  hidden: z.int().min(1).default(2048).describe("width of the head's hidden layers"),
  bottleneck: z.int().min(1).default(256).describe("width before the last layer"),
  studentTemperature: z.number().positive().default(0.1),
  teacherTemperature: z.number().positive().default(0.07).describe("after the warm-up; lower is sharper"),
  firstTemperature: z.number().positive().default(0.04).describe("of the teacher when a stage begins"),
  warmUp: z.number().min(0).max(1).default(0.3).describe("share of the stage in which the teacher's temperature rises"),
  momentum: z.number().min(0).max(1).default(0.996).describe("of the teacher at the start; rises to 1"),
  centerMomentum: z.number().min(0).max(1).default(0.9),
});
type DinoOptions = z.infer<typeof schema>;

/** Batch fields: `view1` and `view2` [B, 3, S, S]. The backbone is below `student.`, with timm's names. */
function dino(model: nn.VitConfig, options: DinoOptions): Objective {
  const { imageSize, patchSize } = model;
  const { outputs, momentum, firstTemperature, teacherTemperature, warmUp } = options;
  const image = [3, imageSize, imageSize];
  return {
    name: "dino",
    encoder: "student.",
    fields: { view1: image, view2: image },
    tokens: 2 * (1 + nn.patchCount(model)),
    coupled: true,
    copies: [
      {
        source: "student.",
        target: "teacher.",
        momentum: (progress) => 1 - 0.5 * (1 + Math.cos(Math.PI * progress)) * (1 - momentum),
      },
    ],
    schedules: {
      teacherTemperature: (progress) =>
        firstTemperature + (teacherTemperature - firstTemperature) * Math.min(1, warmUp === 0 ? 1 : progress / warmUp),
    },

    // class tokens, [2B, 1, D] each: view after view, so that they may come from any split of the batch
    encode(p, { view1, view2 }) {
      const pixels = ops.concat([nn.patches(view1!, patchSize), nn.patches(view2!, patchSize)], 0);
      const classToken = (name: string) =>
        nn.encode(p.at(name), model, pixels, { lineage: "mocov3", tokens: "cls" } as const);
      return { student: classToken("student"), teacher: ops.stopGradient(classToken("teacher")) };
    },

    loss(p, encoded, scalars) {
      const student = head(p.at("student.head"), heads.byView(encoded["student"]!), options); // [2, B, K]
      const teacher = ops.stopGradient(head(p.at("teacher.head"), heads.byView(encoded["teacher"]!), options));

      const center = p.buffer("center", [outputs], nn.zeros);
      const mean = ops.reduceMean(ops.reshape(teacher, [-1, outputs]), { axis: 0 }); // [K]
      p.update("center", ops.add(ops.mul(center, options.centerMomentum), ops.mul(mean, 1 - options.centerMomentum)));

      const targets = ops.softmax(ops.div(ops.sub(teacher, center), scalars["teacherTemperature"]!));
      const logits = ops.div(student, options.studentTemperature);
      const says = (of: 0 | 1) => nn.softCrossEntropy(heads.view(logits, of), heads.view(targets, of === 0 ? 1 : 0));
      return {
        loss: ops.mul(ops.add(says(0), says(1)), 0.5),
        metrics: { featureStd: heads.spread(encoded["student"]!), teacherEntropy: entropy(targets) },
      };
    },
  };
}

/** Three linear layers with GELU between them, unit length, and K directions of unit length: [2, B, D] → [2, B, K]. */
function head(p: nn.Scope, x: Value, { outputs, hidden, bottleneck }: DinoOptions): Value {
  const init = { weightInit: nn.normal(0.02) };
  const first = ops.gelu(nn.linear(p.at("mlp.0"), x, hidden, init));
  const second = ops.gelu(nn.linear(p.at("mlp.2"), first, hidden, init));
  const narrow = nn.l2Normalize(nn.linear(p.at("mlp.4"), second, bottleneck, init));
  const directions = p.at("last_layer").parameter("weight", [outputs, bottleneck], nn.torchDefault(bottleneck));
  return nn.project(narrow, nn.l2Normalize(directions));
}

/** Mean over samples of what the distributions [2, B, K] leave open: 0 when the teacher is sure, log K when it says nothing. */
function entropy(distributions: Value): Value {
  const surprise = ops.neg(ops.log(ops.maximum(distributions, 1e-30)));
  return ops.reduceMean(ops.reduceSum(ops.mul(distributions, surprise), { axis: -1 }));
}

export default { schema, family: "cl", create: (model, options) => dino(model, options) } satisfies ObjectiveKind<
  typeof schema
>;
